/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Key files. Whatever was decrypted lies in buffers of this file alone, which are wiped before
 * they are freed and reserved once, so that growing leaves no copy behind.
 */
#include "repo/key.h"

#include "base/io.h"
#include "codec/json.h"
#include "codec/sha256.h"
#include "repo/raw.h"
#include "repo/repo.h"

enum {
	MAX_SEALED_KEY = 64 << 10, /* honest ones have 170 bytes */
	MAX_DERIVATIONS = 20,      /* as restic: each costs about half a second */
	MAX_FILES = 1000,          /* also those that need no derivation */
};

/* A buffer whose content is wiped; holds at most MAX_SEALED_KEY bytes. */
struct key_buf {
	struct hf_buf buf;
};

static void
key_buf_clear(struct key_buf *b)
{
	if (b->buf.p != NULL)
		explicit_bzero(b->buf.p, b->buf.cap);
	hf_buf_clear(&b->buf);
}

static struct hf_err *
key_buf_init(struct key_buf *b)
{
	*b = (struct key_buf){.buf = HF_BUF_MAX(MAX_SEALED_KEY)};
	return hf_buf_reserve(&b->buf, MAX_SEALED_KEY);
}

/* The key file's fields; `data` is still sealed. */
struct key_file {
	struct hf_key_info info;
	struct hf_buf salt, data;
	bool is_scrypt;
};

static void
key_file_clear(struct key_file *f)
{
	hf_key_info_clear(&f->info);
	hf_buf_clear(&f->salt);
	hf_buf_clear(&f->data);
}

void
hf_key_info_clear(struct hf_key_info *info)
{
	free(info->username);
	free(info->hostname);
	*info = (struct hf_key_info){0};
}

void
hf_key_random(struct hf_key *out)
{
	do {
		hf_random(out->encrypt, sizeof out->encrypt);
		hf_random(out->mac_k, sizeof out->mac_k);
		hf_random(out->mac_r, sizeof out->mac_r);
	} while (!hf_key_is_valid(out));
}

static void
read_text(struct hf_json *j, char **out)
{
	free(*out);
	*out = hf_str_dup(hf_json_str(j));
}

static void
read_bytes(struct hf_json *j, struct hf_buf *out)
{
	hf_buf_reset(out); /* of a field that is there twice the last one counts */
	hf_json_base64(j, out);
}

static struct hf_err *
parse_file(struct hf_bytes json, struct key_file *f)
{
	hf_auto(hf_buf) scratch = HF_BUF_MAX(HF_MAX_KEY_FILE);
	struct hf_json j;
	struct hf_str key;

	f->info.created = HF_TIME_ZERO;
	hf_json_init(&j, json, &scratch);
	hf_json_object(&j);
	while (hf_json_key(&j, &key)) {
		if (hf_json_key_is(key, "created"))
			f->info.created = hf_json_time(&j);
		else if (hf_json_key_is(key, "username"))
			read_text(&j, &f->info.username);
		else if (hf_json_key_is(key, "hostname"))
			read_text(&j, &f->info.hostname);
		else if (hf_json_key_is(key, "kdf"))
			f->is_scrypt = hf_str_is(hf_json_str(&j), "scrypt");
		else if (hf_json_key_is(key, "N"))
			f->info.kdf.n = hf_json_u64(&j, INT64_MAX);
		else if (hf_json_key_is(key, "r"))
			f->info.kdf.r = hf_json_u64(&j, INT64_MAX);
		else if (hf_json_key_is(key, "p"))
			f->info.kdf.p = hf_json_u64(&j, INT64_MAX);
		else if (hf_json_key_is(key, "salt"))
			read_bytes(&j, &f->salt);
		else if (hf_json_key_is(key, "data"))
			read_bytes(&j, &f->data);
		else
			hf_json_skip(&j);
	}
	HF_TRY(hf_json_end(&j));
	if (f->info.username == NULL)
		f->info.username = hf_str_dup(hf_str(""));
	if (f->info.hostname == NULL)
		f->info.hostname = hf_str_dup(hf_str(""));
	return NULL;
}

/* Everything that can be wrong with a key file before the password comes into play. */
static struct hf_err *
check_file(const struct key_file *f)
{
	if (!f->is_scrypt)
		return hf_err(HF_ECORRUPT, "the only key derivation known is scrypt");
	if (f->salt.len != HF_KDF_SALT || f->salt.is_full)
		return hf_err(HF_ECORRUPT, "the salt is not of %d bytes", HF_KDF_SALT);
	if (f->data.len < HF_SEAL_OVERHEAD || f->data.is_full)
		return hf_err(HF_ECORRUPT, "the sealed key has a wrong length");
	return hf_kdf_check(&f->info.kdf);
}

/* One part of the master key, which must have exactly `len` bytes. */
static void
read_part(struct hf_json *j, struct hf_buf *room, uint8_t *out, size_t len)
{
	hf_buf_reset(room);
	hf_json_base64(j, room);
	if (room->len == len && !room->is_full)
		memcpy(out, room->p, len);
	else
		hf_json_fail(j, "a part of the master key has a wrong length");
}

static struct hf_err *
parse_master(struct hf_bytes json, struct hf_key *out)
{
	hf_auto(key_buf) scratch = {0};
	hf_auto(key_buf) room = {0};
	hf_auto(hf_key) master = {0};
	struct hf_json j;
	struct hf_str key;

	HF_TRY(key_buf_init(&scratch));
	HF_TRY(key_buf_init(&room));
	hf_json_init(&j, json, &scratch.buf);
	hf_json_object(&j);
	while (hf_json_key(&j, &key)) {
		if (hf_json_key_is(key, "encrypt")) {
			read_part(&j, &room.buf, master.encrypt, sizeof master.encrypt);
		} else if (hf_json_key_is(key, "mac")) {
			hf_json_object(&j);
			while (hf_json_key(&j, &key)) {
				if (hf_json_key_is(key, "k"))
					read_part(&j, &room.buf, master.mac_k,
						sizeof master.mac_k);
				else if (hf_json_key_is(key, "r"))
					read_part(&j, &room.buf, master.mac_r,
						sizeof master.mac_r);
				else
					hf_json_skip(&j);
			}
		} else {
			hf_json_skip(&j);
		}
	}
	HF_TRY(hf_json_end(&j));
	if (!hf_key_is_valid(&master))
		return hf_err(HF_ECORRUPT, "the master key has a part that is zero");
	*out = master;
	return NULL;
}

static struct hf_err *
open_sealed(const struct hf_key *user, struct hf_bytes sealed, struct hf_key *master)
{
	hf_autoptr(hf_aead) aead = hf_aead_new(user);
	hf_auto(key_buf) plain = {0};

	HF_TRY(key_buf_init(&plain));
	if (sealed.len < HF_SEAL_OVERHEAD || sealed.len - HF_SEAL_OVERHEAD > MAX_SEALED_KEY)
		return hf_err(HF_ECORRUPT, "the sealed key has a wrong length");
	if (!hf_aead_open(aead, sealed, plain.buf.p))
		return hf_err(HF_EAUTH, "wrong password");
	plain.buf.len = sealed.len - HF_SEAL_OVERHEAD;
	return parse_master(hf_buf_bytes(&plain.buf), master);
}

static void
write_master(struct hf_buf *out, const struct hf_key *k)
{
	struct hf_jout o = {.buf = out};

	hf_jout_object(&o);
	hf_jout_key(&o, "mac");
	hf_jout_object(&o);
	hf_jout_key(&o, "k");
	hf_jout_base64(&o, (struct hf_bytes){k->mac_k, sizeof k->mac_k});
	hf_jout_key(&o, "r");
	hf_jout_base64(&o, (struct hf_bytes){k->mac_r, sizeof k->mac_r});
	hf_jout_object_end(&o);
	hf_jout_key(&o, "encrypt");
	hf_jout_base64(&o, (struct hf_bytes){k->encrypt, sizeof k->encrypt});
	hf_jout_object_end(&o);
}

static void
write_file(struct hf_buf *out, const struct hf_key_info *info, struct hf_bytes salt,
	struct hf_bytes data)
{
	struct hf_jout o = {.buf = out};

	hf_jout_object(&o);
	hf_jout_key(&o, "created");
	hf_jout_time(&o, &info->created);
	hf_jout_key(&o, "username");
	hf_jout_str(&o, hf_str(info->username));
	hf_jout_key(&o, "hostname");
	hf_jout_str(&o, hf_str(info->hostname));
	hf_jout_key(&o, "kdf");
	hf_jout_str(&o, hf_str("scrypt"));
	hf_jout_key(&o, "N");
	hf_jout_u64(&o, info->kdf.n);
	hf_jout_key(&o, "r");
	hf_jout_u64(&o, info->kdf.r);
	hf_jout_key(&o, "p");
	hf_jout_u64(&o, info->kdf.p);
	hf_jout_key(&o, "salt");
	hf_jout_base64(&o, salt);
	hf_jout_key(&o, "data");
	hf_jout_base64(&o, data);
	hf_jout_object_end(&o);
}

struct hf_err *
hf_key_seal(const struct hf_key *master, const struct hf_secret *password,
	const struct hf_key_info *info, const uint8_t salt[static HF_KDF_SALT],
	const uint8_t *iv, struct hf_buf *out)
{
	struct hf_bytes salt_bytes = {salt, HF_KDF_SALT};
	hf_auto(hf_buf) sealed = HF_BUF_MAX(MAX_SEALED_KEY);
	hf_auto(hf_key) user = {0};
	hf_auto(hf_key) proof = {0};
	hf_auto(key_buf) plain = {0};

	HF_TRY(hf_kdf_derive(&info->kdf, (struct hf_bytes){password->p, password->len},
		salt_bytes, 0, &user));
	HF_TRY(key_buf_init(&plain));
	write_master(&plain.buf, master);
	HF_TRY(hf_buf_ok(&plain.buf));
	HF_TRY(hf_buf_resize(&sealed, plain.buf.len + HF_SEAL_OVERHEAD));
	hf_autoptr(hf_aead) aead = hf_aead_new(&user);
	if (iv != NULL)
		hf_aead_seal_iv(aead, iv, hf_buf_bytes(&plain.buf), sealed.p);
	else
		hf_aead_seal(aead, hf_buf_bytes(&plain.buf), sealed.p);

	/* What is written here is all that stands between the user and the data. */
	HF_TRY(hf_err_in(
		open_sealed(&user, hf_buf_bytes(&sealed), &proof), "proving a new key"));
	if (memcmp(&proof, master, sizeof proof) != 0)
		return hf_err(HF_EFATAL, "proving a new key: it came back changed");
	write_file(out, info, salt_bytes, hf_buf_bytes(&sealed));
	return hf_buf_ok(out);
}

struct hf_err *
hf_key_create(struct hf_store *store, const struct hf_key *master,
	const struct hf_secret *password, const char *username, const char *hostname,
	struct hf_id *id)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(HF_MAX_KEY_FILE);
	hf_auto(hf_key_info) info = {
		.created = hf_time_now(),
		.username = hf_str_dup(hf_str(username)),
		.hostname = hf_str_dup(hf_str(hostname)),
		.kdf = HF_KDF_DEFAULT,
	};
	uint8_t salt[HF_KDF_SALT];

	hf_random(salt, sizeof salt);
	HF_TRY(hf_key_seal(master, password, &info, salt, NULL, &json));
	struct hf_name name = {HF_KEY, hf_sha256(hf_buf_bytes(&json))};
	HF_TRY(hf_err_in(hf_store_put(store, &name, hf_buf_bytes(&json)), "saving the key"));
	*id = name.id;
	return NULL;
}

static struct hf_err *
load_file(struct hf_store *store, const struct hf_id *id, struct key_file *f)
{
	struct hf_name name = {HF_KEY, *id};
	hf_auto(hf_buf) raw = HF_BUF_MAX(HF_MAX_KEY_FILE);

	*f = (struct key_file){
		.salt = HF_BUF_MAX(1024),
		.data = HF_BUF_MAX(MAX_SEALED_KEY),
	};
	HF_TRY(hf_raw_load(store, &name, &raw));
	HF_TRY(hf_err_in(parse_file(hf_buf_bytes(&raw), f), "%s", hf_name_text(&name).s));
	return NULL;
}

struct hf_err *
hf_key_read(struct hf_store *store, const struct hf_id *id, struct hf_key_info *info)
{
	hf_auto(key_file) f = {0};

	HF_TRY(load_file(store, id, &f));
	*info = f.info;
	f.info = (struct hf_key_info){0};
	return NULL;
}

static struct hf_err *
open_file(const struct key_file *f, const struct hf_secret *password, struct hf_key *master)
{
	hf_auto(hf_key) user = {0};

	HF_TRY(check_file(f));
	HF_TRY(hf_kdf_derive(&f->info.kdf, (struct hf_bytes){password->p, password->len},
		hf_buf_bytes(&f->salt), 0, &user));
	return open_sealed(&user, hf_buf_bytes(&f->data), master);
}

struct hf_err *
hf_key_open(struct hf_store *store, const struct hf_id *id, const struct hf_secret *password,
	struct hf_key *master, struct hf_key_info *info)
{
	struct hf_name name = {HF_KEY, *id};
	hf_auto(key_file) f = {0};

	HF_TRY(load_file(store, id, &f));
	HF_TRY(hf_err_in(open_file(&f, password, master), "%s", hf_name_text(&name).s));
	if (info != NULL) {
		*info = f.info;
		f.info = (struct hf_key_info){0};
	}
	return NULL;
}

/* Whether the key file gives back the master key. */
static struct hf_err *
prove(struct hf_store *store, const struct hf_id *id, const struct hf_secret *password,
	const struct hf_key *master)
{
	hf_auto(hf_key) got = {0};

	HF_TRY(hf_key_open(store, id, password, &got, NULL));
	if (memcmp(&got, master, sizeof got) != 0)
		return hf_err(HF_ECORRUPT, "it holds another key");
	return NULL;
}

struct hf_err *
hf_key_add(struct hf_store *store, const struct hf_key *master,
	const struct hf_secret *password, const char *username, const char *hostname,
	struct hf_id *id)
{
	struct hf_name name = {.kind = HF_KEY};
	struct hf_err *e;

	HF_TRY(hf_err_in(hf_key_create(store, master, password, username, hostname, &name.id),
		"creating new key failed"));
	e = prove(store, &name.id, password, master);
	if (e == NULL) {
		*id = name.id;
		return NULL;
	}
	hf_err_free(hf_store_del(store, &name));
	hf_autoptr(hf_err) why = e;
	return hf_err(
		HF_EFATAL, "failed to access repository with new key: %s", hf_err_text(why));
}

/* The keys to try: place 0 is for the hinted one, then the order of the listing. */
struct search {
	const char *hint; /* "" without one */
	struct hf_id ids[1 + MAX_FILES];
	size_t len;
	size_t hinted; /* how many ids begin with the hint */
	unsigned refused;
	struct hf_err *bad; /* the first that was no wrong password */
};

static void
search_free(struct search *s)
{
	hf_err_free(s->bad);
	free(s);
}
HF_AUTOPTR(search)

static struct hf_err *
search_add(void *arg, const struct hf_name *name, uint64_t size)
{
	struct search *s = arg;

	(void)size;
	if (s->hint[0] != '\0' &&
		strncmp(hf_id_hex(&name->id).s, s->hint, strlen(s->hint)) == 0) {
		s->ids[0] = name->id;
		s->hinted++;
	}
	if (s->len <= MAX_FILES)
		s->ids[s->len++] = name->id;
	return NULL;
}

/* What to say when no key opened, out of what was found. Takes `bad`. */
static struct hf_err *
search_failed(unsigned refused, bool is_too_many, struct hf_err *bad)
{
	hf_autoptr(hf_err) e = bad;

	/* A key that could not be read may be the right one: that is not a wrong password. */
	if (e != NULL && (refused == 0 || hf_err_code(e) != HF_ECORRUPT))
		return hf_steal(e);
	if (is_too_many)
		return hf_err(HF_EAUTH, "maximum number of keys reached");
	if (e != NULL)
		return hf_err(
			HF_EAUTH, "wrong password or no key found (and %s)", hf_err_text(e));
	return hf_err(HF_EAUTH, "wrong password or no key found");
}

/* Tries one of them. True: it opens. Else what was wrong with it is kept. */
static bool
search_try(struct search *s, struct hf_store *store, const struct hf_id *id,
	const struct hf_secret *password, struct hf_key *master)
{
	hf_autoptr(hf_err) e = hf_key_open(store, id, password, master, NULL);

	if (e == NULL)
		return true;
	if (hf_err_code(e) == HF_EAUTH)
		s->refused++;
	else if (s->bad == NULL)
		s->bad = hf_steal(e);
	return false;
}

/* The hint is a whole id: there is nothing to look up. */
static bool
search_named(struct search *s, struct hf_store *store, const struct hf_secret *password,
	struct hf_key *master)
{
	if (!hf_id_parse(hf_str(s->hint), &s->ids[0]))
		return false;
	s->hint = ""; /* it is tried once */
	if (search_try(s, store, &s->ids[0], password, master))
		return true;
	/* What is not there is only a hint that was wrong. */
	if (s->bad != NULL && hf_err_code(s->bad) == HF_ENOTFOUND)
		hf_err_free(hf_steal(s->bad));
	return false;
}

/*
 * Unlike restic, a file that is no key, or is damaged, does not end the search: whoever can put
 * one file into keys/ must not be able to lock everybody out. The first such error is reported
 * when no other key opens.
 */
struct hf_err *
hf_key_search(struct hf_store *store, const struct hf_secret *password, const char *hint,
	struct hf_key *master, struct hf_id *id)
{
	hf_autoptr(search) s = hf_new(struct search);

	s->hint = hint != NULL ? hint : "";
	s->len = 1;
	if (search_named(s, store, password, master)) {
		*id = s->ids[0];
		return NULL;
	}
	HF_TRY(hf_err_in(hf_store_list(store, HF_KEY, search_add, s), "listing keys"));
	for (size_t i = s->hinted == 1 ? 0 : 1; i < s->len; i++) {
		if (i > 0 && hf_id_eq(&s->ids[i], &s->ids[0]))
			continue; /* the hinted one, which was tried */
		if (s->refused == MAX_DERIVATIONS)
			return search_failed(s->refused, true, hf_steal(s->bad));
		if (search_try(s, store, &s->ids[i], password, master)) {
			*id = s->ids[i];
			return NULL;
		}
	}
	return search_failed(s->refused, false, hf_steal(s->bad));
}
