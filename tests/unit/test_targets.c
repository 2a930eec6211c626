/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/targets.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/test.h"

/* The tree as text: leaves as "name=path" ('!' when explicit), inner targets as "name@meta(…)". */
static void
write_target(struct hf_buf *out, const struct hf_target *t)
{
	for (size_t i = 0; i < t->n_children; i++) {
		const struct hf_target *c = t->children[i];

		hf_buf_addf(out, "%s%s", i > 0 ? " " : "", c->name);
		if (c->path != NULL) {
			hf_buf_addf(out, "=%s%s", c->path, c->is_explicit ? "!" : "");
			continue;
		}
		hf_buf_addf(out, "@%s(", c->meta_path);
		write_target(out, c);
		hf_buf_add_str(out, ")");
	}
}

static void
check_tree(const char *const *paths, size_t n, const char *want)
{
	hf_auto(hf_target) root = {0};
	hf_auto(hf_buf) text = HF_BUF_MAX(1 << 20);

	REQUIRE_OK(hf_targets_build(paths, n, &root));
	write_target(&text, &root);
	hf_buf_add(&text, "", 1);
	CHECK_STR((const char *)text.p, want);
}

#define CHECK_TREE(want, ...)                                                                  \
	check_tree((const char *const[]){__VA_ARGS__},                                         \
		sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), want)

/* A working folder with a/b/f, a/g, h. */
static void
enter_folder(void)
{
	REQUIRE(chdir(test_tmpdir()) == 0);
	REQUIRE(mkdir("a", 0700) == 0 && mkdir("a/b", 0700) == 0 && mkdir("sub", 0700) == 0);
	for (size_t i = 0; i < 3; i++) {
		int fd = open((const char *const[]){"a/b/f", "a/g", "h"}[i], O_CREAT | O_WRONLY,
			0600);

		REQUIRE(fd >= 0 && close(fd) == 0);
	}
}

TEST(targets_follow_the_words)
{
	enter_folder();
	CHECK_TREE("a=a!", "a");
	CHECK_TREE("a=a!", "./a/");
	CHECK_TREE("a=a!", "a", "a");
	CHECK_TREE("a@a(b=a/b!)", "a/b");
	CHECK_TREE("x@/x(y@/x/y(z=/x/y/z!))", "/x/y/z");
	CHECK_TREE("x@/x(y=/x/y! z=/x/z!)", "/x/z", "/x/y");
	CHECK_TREE("x@../x(y=../x/y!)", "../x/y");
	CHECK_TREE("x@../../x(y=../../x/y!)", "../../x/y");
}

TEST(targets_dots_stand_for_contents)
{
	enter_folder();
	CHECK_TREE("a=a h=h sub=sub", ".");
	REQUIRE(chdir("sub") == 0);
	CHECK_TREE("a=../a h=../h sub=../sub", "..");
}

TEST(targets_namesakes_get_numbers)
{
	enter_folder();
	CHECK_TREE("q=q! q-1=../q! q-2=/q!", "q", "../q", "/q");
	CHECK_TREE("q=q! q-1@../q(r=../q/r!)", "q", "../q/r");
}

TEST(targets_nested_are_merged)
{
	enter_folder();
	CHECK_TREE("a@a(b=a/b! g=a/g)", "a", "a/b");
	CHECK_TREE("a@a(b@a/b(f=a/b/f!) g=a/g)", "a/b/f", "a");
}

TEST(targets_many_are_quick)
{
	enum { N = 50000 };
	static char text[N][16];
	static const char *paths[N];
	hf_auto(hf_target) root = {0};

	for (size_t i = 0; i < N; i++) {
		snprintf(text[i], sizeof text[i], "f%zu", (i * 7919) % N);
		paths[i] = text[i];
	}
	REQUIRE_OK(hf_targets_build(paths, N, &root));
	REQUIRE_EQ(root.n_children, N);
	for (size_t i = 1; i < N; i++)
		REQUIRE(strcmp(root.children[i - 1]->name, root.children[i]->name) < 0);
}
