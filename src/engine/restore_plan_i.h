/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The planner of a restore: restore_plan.c walks the trees and makes folders, restore_visit.c decides
 * what becomes of what is in them.
 */
#ifndef HF_ENGINE_RESTORE_PLAN_I_H
#define HF_ENGINE_RESTORE_PLAN_I_H

#include "engine/hardlinks.h"
#include "engine/restore_i.h"

/* One folder on the way down. */
struct rlevel {
	struct hf_tree *tree;
	struct rdir *dir; /* NULL until it is needed */
	struct rmeta meta;
	size_t path_len;
	int fd;            /* of the folder, or -1 */
	bool has_meta;     /* all but the target itself */
	bool is_selected;  /* for itself, not for what is in it */
	bool has_restored; /* something in it is selected */
	bool has_failed;   /* it could not be made, which has been reported */
	bool is_broken;    /* the tree could not be read to its end */
	struct rnames names;
};

struct rplan {
	struct hf_restore *r;
	struct hf_reader *reader;
	struct rlevel *levels;
	size_t n_levels, cap;
	struct hf_buf path; /* "/a/b", NUL-terminated */
	struct rwindow *window;
	size_t window_files; /* how many make it full */
	size_t n_files;      /* met so far */
	bool no_delete;      /* a strange name was met */
	struct hf_hardlinks hardlinks;
};

/* The path of what is being looked at: inside the snapshot, and relative to the target. */
static inline const char *
plan_location(const struct rplan *p)
{
	return (const char *)p->path.p;
}

static inline const char *
plan_rel(const struct rplan *p)
{
	return plan_location(p) + 1;
}

/* The descriptor of the folder, which stays the level's; -1 with errno. */
int plan_level_fd(struct rplan *p, struct rlevel *l);

/* ---- restore_visit.c ---- */

/* There is one item more in it: gives it away if it is full. */
void plan_window_grew(struct rplan *p);

/* Names attributes of other systems that are not known. */
void plan_warn_of_generic(struct rplan *p, const struct hf_node *n);
/* Makes what is neither a file nor a folder. */
void plan_special(struct rplan *p, struct rlevel *l, const struct hf_node *n);
void plan_file(struct rplan *p, struct rlevel *l, const struct hf_node *n);

/*
 * True when the file is another name of one that has been met. It is linked when the window is
 * done, and the first name is complete by then. A file all of whose names were met is forgotten.
 */
bool plan_hardlink(struct rplan *p, struct rlevel *l, const struct hf_node *n);

#endif
