/* SPDX-License-Identifier: BSD-2-Clause */
/* How whole files are opened: what repo.c and repo_pieces.c share. */
#ifndef HF_REPO_REPO_I_H
#define HF_REPO_REPO_I_H

#include "codec/aead.h"
#include "codec/zstd.h"
#include "repo/repo.h"

/* The first byte of a compressed file; plain JSON begins otherwise. */
enum { COMPRESSED = 2 };

/* What it takes to open and to seal a file; making one takes longer than using it. */
struct kit {
	struct hf_aead *aead;
	struct hf_zstd *zstd;
};

struct kit take_kit(struct hf_repo *repo);
void give_kit(struct hf_repo *repo, struct kit *k);

/* Opens `sealed` in its own memory; *plain is a part of it. */
struct hf_err *unseal(struct kit *k, struct hf_buf *sealed, struct hf_bytes *plain) HF_MUST;

/* Whether a file's plaintext is compressed, behind its first byte. */
struct hf_err *how_packed(const struct hf_repo *repo, enum hf_kind kind, struct hf_bytes plain,
	bool *is_packed) HF_MUST;

#endif
