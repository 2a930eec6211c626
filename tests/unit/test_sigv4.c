/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The signer against what AWS publishes: the aws-sig-v4-test-suite of 2016 (the cases that do not
 * normalize paths, which S3 does not do either) and the four examples in the S3 API reference. What
 * is expected stands in those documents; nothing here was computed by this program.
 */
#include "net/sigv4.h"

#include "harness/test.h"

#define EMPTY      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define HOST       "example.amazonaws.com"
#define DATE       "20150830T123600Z"
#define FORM       "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"
#define UNRESERVED "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define NO_TEXT                                                                                \
	{                                                                                      \
		NULL, NULL                                                                     \
	}

static const char sts_token[] =
	"AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRX"
	"mxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburE"
	"Dy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL"
	"64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

struct vector {
	const char *name, *method, *path;
	struct hf_sigv4_pair params[3];  /* up to the first without a name */
	struct hf_sigv4_pair headers[6]; /* the same; host and date of the suite are added */
	const char *payload;
	const char *signed_headers, *signature;
};

#define PLAIN "host;x-amz-date"
#define MINE  "host;my-header1;x-amz-date"

static const struct vector suite[] = {
	{"get-vanilla", "GET", "/", {NO_TEXT}, {NO_TEXT}, EMPTY, PLAIN,
		"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-header-key-duplicate", "GET", "/", {NO_TEXT},
		{{"my-header1", "value2"}, {"my-header1", "value2"}, {"my-header1", "value1"}},
		EMPTY, MINE,
		"c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
	{"get-header-value-multiline", "GET", "/", {NO_TEXT},
		{{"my-header1", "value1"}, {"my-header1", "  value2"},
			{"my-header1", "     value3"}},
		EMPTY, MINE,
		"ba17b383a53190154eb5fa66a1b836cc297cc0a3d70a5d00705980573d8ff790"},
	{"get-header-value-order", "GET", "/", {NO_TEXT},
		{{"my-header1", "value4"}, {"my-header1", "value1"}, {"my-header1", "value3"},
			{"my-header1", "value2"}},
		EMPTY, MINE,
		"08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
	{"get-header-value-trim", "GET", "/", {NO_TEXT},
		{{"my-header1", " value1"}, {"my-header2", " \"a   b   c\""}}, EMPTY,
		"host;my-header1;my-header2;x-amz-date",
		"acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
	{"get-unreserved", "GET", "/" UNRESERVED, {NO_TEXT}, {NO_TEXT}, EMPTY, PLAIN,
		"07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
	{"get-utf8", "GET", "/\xe1\x88\xb4", {NO_TEXT}, {NO_TEXT}, EMPTY, PLAIN,
		"8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
	{"get-space", "GET", "/example space/", {NO_TEXT}, {NO_TEXT}, EMPTY, PLAIN,
		"652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
	{"get-vanilla-empty-query-key", "GET", "/", {{"Param1", "value1"}}, {NO_TEXT}, EMPTY,
		PLAIN, "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
	{"get-vanilla-query-order-key-case", "GET", "/",
		{{"Param2", "value2"}, {"Param1", "value1"}}, {NO_TEXT}, EMPTY, PLAIN,
		"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
	{"get-vanilla-query-order-key", "GET", "/",
		{{"Param1", "value2"}, {"Param1", "Value1"}}, {NO_TEXT}, EMPTY, PLAIN,
		"eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"},
	{"get-vanilla-query-order-value", "GET", "/",
		{{"Param1", "value2"}, {"Param1", "value1"}}, {NO_TEXT}, EMPTY, PLAIN,
		"5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"},
	{"get-vanilla-query-unreserved", "GET", "/", {{UNRESERVED, UNRESERVED}}, {NO_TEXT},
		EMPTY, PLAIN,
		"9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
	{"get-vanilla-utf8-query", "GET", "/", {{"\xe1\x88\xb4", "bar"}}, {NO_TEXT}, EMPTY,
		PLAIN, "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
	{"post-vanilla", "POST", "/", {NO_TEXT}, {NO_TEXT}, EMPTY, PLAIN,
		"5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	{"post-vanilla-query", "POST", "/", {{"Param1", "value1"}}, {NO_TEXT}, EMPTY, PLAIN,
		"28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
	{"post-header-key-sort", "POST", "/", {NO_TEXT}, {{"my-header1", "value1"}}, EMPTY,
		MINE, "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
	{"post-header-value-case", "POST", "/", {NO_TEXT}, {{"my-header1", "VALUE1"}}, EMPTY,
		MINE, "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
	{"post-sts-header-before", "POST", "/", {NO_TEXT},
		{{"x-amz-security-token", sts_token}}, EMPTY,
		"host;x-amz-date;x-amz-security-token",
		"85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
	{"post-x-www-form-urlencoded", "POST", "/", {NO_TEXT},
		{{"content-type", "application/x-www-form-urlencoded"}}, FORM,
		"content-type;host;x-amz-date",
		"ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
	{"post-x-www-form-urlencoded-parameters", "POST", "/", {NO_TEXT},
		{{"content-type", "application/x-www-form-urlencoded; charset=utf8"}}, FORM,
		"content-type;host;x-amz-date",
		"1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"},
};

static const struct vector s3[] = {
	{"get object", "GET", "/test.txt", {NO_TEXT},
		{{"range", "bytes=0-9"}, {"x-amz-content-sha256", EMPTY}}, EMPTY,
		"host;range;x-amz-content-sha256;x-amz-date",
		"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
	{"put object", "PUT", "/test$file.text", {NO_TEXT},
		{{"date", "Fri, 24 May 2013 00:00:00 GMT"},
			{"x-amz-storage-class", "REDUCED_REDUNDANCY"},
			{"x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e9"
						 "9e42034a8b803f8b072"}},
		"44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
		"date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
		"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
	{"get bucket lifecycle", "GET", "/", {{"lifecycle", ""}},
		{{"x-amz-content-sha256", EMPTY}}, EMPTY,
		"host;x-amz-content-sha256;x-amz-date",
		"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
	{"list objects", "GET", "/", {{"prefix", "J"}, {"max-keys", "2"}},
		{{"x-amz-content-sha256", EMPTY}}, EMPTY,
		"host;x-amz-content-sha256;x-amz-date",
		"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
};

static size_t
count(const struct hf_sigv4_pair *pairs, size_t max)
{
	size_t n = 0;

	while (n < max && pairs[n].name != NULL)
		n++;
	return n;
}

static void
check_vector(const struct vector *v, const struct hf_sigv4_key *key, const char *host,
	const char *date)
{
	struct hf_sigv4_pair headers[8] = {{"x-amz-date", date}};
	hf_auto(hf_buf) path = HF_BUF_MAX(1000), query = HF_BUF_MAX(1000),
			got = HF_BUF_MAX(1000), want = HF_BUF_MAX(1000);
	size_t n = count(v->headers, 6);

	memcpy(&headers[1], v->headers, n * sizeof headers[0]);
	headers[n + 1] = (struct hf_sigv4_pair){"host", host};
	hf_sigv4_add_path(&path, hf_str(v->path));
	hf_buf_add_char(&path, '\0');
	hf_sigv4_add_query(&query, v->params, count(v->params, 3));
	hf_buf_add_char(&query, '\0');
	struct hf_sigv4_request r = {
		.method = v->method,
		.path = (const char *)path.p,
		.query = (const char *)query.p,
		.headers = headers,
		.n_headers = n + 2,
		.payload = v->payload,
	};

	REQUIRE_OK(hf_sigv4_sign(&r, key, &got));
	hf_buf_add_char(&got, '\0');
	hf_buf_addf(&want,
		"AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/%s/aws4_request, SignedHeaders=%s, "
		"Signature=%s",
		key->id, date, key->region, key->service, v->signed_headers, v->signature);
	hf_buf_add_char(&want, '\0');
	if (!CHECK_STR((const char *)got.p, (const char *)want.p))
		CHECK_STR(v->name, "");
}

TEST(test_suite_of_aws)
{
	static const char text[] = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
	hf_auto(hf_secret) secret = {0};
	struct hf_sigv4_key key = {"AKIDEXAMPLE", &secret, "us-east-1", "service"};

	hf_secret_set(&secret, hf_str_bytes(hf_str(text)));
	for (size_t i = 0; i < sizeof suite / sizeof suite[0]; i++)
		check_vector(&suite[i], &key, HOST, DATE);
}

TEST(examples_of_s3)
{
	static const char text[] = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
	hf_auto(hf_secret) secret = {0};
	struct hf_sigv4_key key = {"AKIAIOSFODNN7EXAMPLE", &secret, "us-east-1", "s3"};

	hf_secret_set(&secret, hf_str_bytes(hf_str(text)));
	for (size_t i = 0; i < sizeof s3 / sizeof s3[0]; i++)
		check_vector(
			&s3[i], &key, "examplebucket.s3.amazonaws.com", "20130524T000000Z");
}

static void
check_text(struct hf_buf *b, const char *want)
{
	hf_buf_add_char(b, '\0');
	REQUIRE_OK(hf_buf_ok(b));
	CHECK_STR((const char *)b->p, want);
	hf_buf_reset(b);
}

TEST(what_is_encoded)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(1000);
	static const struct hf_sigv4_pair mixed[] = {
		/* "%2F" stands before "-": the order is that of the encoded text. */
		{"a-", ""}, {"a/", "x/y z+~%"}, {"a", "2"}, {"A", ""}, {"a", "1"}};

	hf_sigv4_add_path(&b, hf_str("/b/a+b=c,d e%/\x7f\xff//."));
	check_text(&b, "/b/a%2Bb%3Dc%2Cd%20e%25/%7F%FF//.");
	hf_sigv4_add_query(&b, mixed, 5);
	check_text(&b, "A=&a=1&a=2&a%2F=x%2Fy%20z%2B~%25&a-=");
	hf_sigv4_add_query(&b, NULL, 0);
	check_text(&b, "");
}

TEST(dates)
{
	CHECK_STR(hf_sigv4_date(1440938160).s, DATE);
	CHECK_STR(hf_sigv4_date(0).s, "19700101T000000Z");
	CHECK_STR(hf_sigv4_date(1709164800).s, "20240229T000000Z");
}

TEST(a_request_without_a_date_is_not_signed)
{
	hf_auto(hf_secret) secret = {0};
	hf_auto(hf_buf) out = HF_BUF_MAX(1000);
	struct hf_sigv4_key key = {"id", &secret, "r", "s3"};
	struct hf_sigv4_pair headers[] = {{"host", "h"}, {"x-amz-date", "2015"}};
	struct hf_sigv4_request r = {"GET", "/", "", headers, 2, EMPTY};

	CHECK_ERR(hf_sigv4_sign(&r, &key, &out), HF_EINVAL);
	headers[1].value = DATE;
	CHECK_OK(hf_sigv4_sign(&r, &key, &out));
}
