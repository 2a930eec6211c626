/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/xml.h"

#include "harness/test.h"

/* Walks a document and writes it down as "name(name=text name(...))". */
static void
walk(struct hf_xml *x, struct hf_buf *out, unsigned depth)
{
	struct hf_str name;

	while (hf_xml_child(x, &name)) {
		hf_buf_addf(out, "%.*s", (int)name.len, name.p);
		/* Lower case: an element with text. */
		if (*name.p >= 'a' && *name.p <= 'z') {
			struct hf_str text = hf_xml_text(x);

			hf_buf_addf(out, "=%.*s ", (int)text.len, text.p);
		} else {
			hf_buf_add_char(out, '(');
			walk(x, out, depth + 1);
			hf_buf_add_char(out, ')');
		}
	}
}

static void
check(const char *in, const char *want)
{
	hf_auto(hf_buf) scratch = HF_BUF_MAX(4096), out = HF_BUF_MAX(4096);
	struct hf_xml x;

	hf_xml_init(&x, hf_str_bytes(hf_str(in)), &scratch);
	walk(&x, &out, 0);
	REQUIRE_OK(hf_xml_end(&x));
	hf_buf_add_char(&out, '\0');
	CHECK_STR((const char *)out.p, want);
}

static void
refuse(const char *in, const char *why)
{
	hf_auto(hf_buf) scratch = HF_BUF_MAX(4096), out = HF_BUF_MAX(4096);
	struct hf_xml x;

	hf_xml_init(&x, hf_str_bytes(hf_str(in)), &scratch);
	walk(&x, &out, 0);
	CHECK_ERR_TEXT(hf_xml_end(&x), HF_ECORRUPT, why);
}

TEST(what_s3_answers)
{
	check("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	      "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n"
	      "  <name>bucket</name><prefix/><empty></empty>\n"
	      "  <Contents><key>a</key><size>434234</size></Contents>\n"
	      "  <Contents><key>b</key><size>7</size><Owner/></Contents>\n"
	      "</ListBucketResult>\n",
		"ListBucketResult(name=bucket prefix= empty= Contents(key=a size=434234 )"
		"Contents(key=b size=7 Owner()))");
	check("<s3:Error xmlns:s3='x>y'><s3:code a = \"1\" b='/'>x</s3:code ></s3:Error >",
		"Error(code=x )");
	check("\xef\xbb\xbf<R/>", "R()");
	check("<code>alone</code>", "code=alone ");
}

TEST(text_is_decoded)
{
	check("<t>a&amp;b&lt;c&gt;d&quot;e&apos;f</t>", "t=a&b<c>d\"e'f ");
	check("<t>&#65;&#x42;&#xe9;&#x20AC;&#x1F600;</t>",
		"t=AB\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 ");
	check("<t>a<![CDATA[<b>&amp;]]>c<!-- > -->d<?x ?>e</t>", "t=a<b>&amp;cde ");
	check("<T><t>a&#x62;c</t><u>&lt;</u><v>plain</v></T>", "T(t=abc u=< v=plain )");
	check("<t>\xff\xc3 ]]> </t>", "t=\xff\xc3 ]]>  ");
	check("<T>between <!-- <x> --> <![CDATA[<y>]]><t>1</t></T><!-- after --> <?a?>\n",
		"T(t=1 )");
}

TEST(what_is_refused)
{
	static const char *const broken[] = {"", " ", "x", "<", "<>", "<T", "<T/", "<T>",
		"<T></U>", "<T></T", "</T>", "<T><U></T></U>", "<T/><T/>", "<T/>x", "<T a></T>",
		"<T a=1/>", "<T a='1/>", "<t>a<U/></t>", "<t>&nosuch;</t>", "<t>&amp</t>",
		"<t>&;</t>", "<t>&#;</t>", "<t>&#x;</t>", "<t>&#0;</t>", "<t>&#xd800;</t>",
		"<t>&#x110000;</t>", "<t>&#12a;</t>", "<t>&#99999999999999;</t>",
		"<t><![CDATA[x</t>", "<t>a<!-- x</t>", "<?xml <T/>", "<t>a", "<t>&amp;",
		"<T><![CDATA[</T>"};

	for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
		refuse(broken[i], "XML: ");
	refuse("<!DOCTYPE x [<!ENTITY a \"b\">]><T/>", "a document type, which is refused");
}

TEST(depth_is_limited)
{
	hf_auto(hf_buf) in = HF_BUF_MAX(4096);

	for (unsigned n = HF_XML_DEPTH; n <= HF_XML_DEPTH + 1; n++) {
		hf_buf_reset(&in);
		for (unsigned i = 0; i < n; i++)
			hf_buf_add_str(&in, "<A>");
		for (unsigned i = 0; i < n; i++)
			hf_buf_add_str(&in, "</A>");
		hf_buf_add_char(&in, '\0');
		if (n > HF_XML_DEPTH) {
			refuse((const char *)in.p, "too deep");
			continue;
		}
		hf_auto(hf_buf) scratch = HF_BUF_MAX(0);
		struct hf_str name;
		struct hf_xml x;

		hf_xml_init(&x, hf_str_bytes(hf_str((const char *)in.p)), &scratch);
		REQUIRE(hf_xml_child(&x, &name));
		hf_xml_skip(&x);
		CHECK_OK(hf_xml_end(&x));
	}
}

TEST(the_buffer_for_decoded_text_is_limited)
{
	hf_auto(hf_buf) scratch = HF_BUF_MAX(8);
	struct hf_str name;
	struct hf_xml x;

	hf_xml_init(&x, hf_str_bytes(hf_str("<t>0123456789&amp;</t>")), &scratch);
	REQUIRE(hf_xml_child(&x, &name));
	CHECK_EQ(hf_xml_text(&x).len, 0);
	CHECK_ERR_TEXT(hf_xml_end(&x), HF_ECORRUPT, "too long");
}

TEST(skip_and_numbers)
{
	hf_auto(hf_buf) scratch = HF_BUF_MAX(4096);
	struct hf_str name;
	struct hf_xml x;

	hf_xml_init(&x,
		hf_str_bytes(hf_str("<R><a><b>1<c/></b>2</a><d/><n>18446744073709551615</n>"
				    "<m>7<!-- -->3</m></R>")),
		&scratch);
	REQUIRE(hf_xml_child(&x, &name));
	REQUIRE(hf_xml_child(&x, &name));
	CHECK(hf_str_is(name, "a"));
	hf_xml_skip(&x);
	REQUIRE(hf_xml_child(&x, &name));
	CHECK(hf_str_is(name, "d"));
	hf_xml_skip(&x);
	REQUIRE(hf_xml_child(&x, &name));
	CHECK_EQ(hf_xml_u64(&x), UINT64_MAX);
	REQUIRE(hf_xml_child(&x, &name));
	CHECK_EQ(hf_xml_u64(&x), 73);
	CHECK(!hf_xml_child(&x, &name));
	CHECK(!hf_xml_child(&x, &name));
	REQUIRE_OK(hf_xml_end(&x));

	static const char *const numbers[] = {"<n></n>", "<n>-1</n>", "<n>1 </n>",
		"<n>18446744073709551616</n>", "<n>1e3</n>"};
	for (size_t i = 0; i < 5; i++) {
		hf_xml_init(&x, hf_str_bytes(hf_str(numbers[i])), &scratch);
		REQUIRE(hf_xml_child(&x, &name));
		CHECK_EQ(hf_xml_u64(&x), 0);
		CHECK_ERR(hf_xml_end(&x), HF_ECORRUPT);
	}
}
