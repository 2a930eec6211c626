/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared libraries that are loaded when they are first needed (ADR 16). What a program is linked
 * to is loaded at every start, with all that it needs in turn, which takes longer than many a
 * command.
 *
 * A file of ours stands for the library: it defines the functions that we use under their own
 * names, and each of them passes the call on to the one that was loaded. So code that uses the
 * library reads as if it were linked, and the compiler compares the definitions with the library's
 * header. The list of functions is written once:
 *
 *	#define FUNCTIONS(X)                                             \
 *		X(return, int, thing_open, (const char *name), (name))   \
 *		X(, void, thing_close, (int thing), (thing))
 *
 *	static struct {
 *		FUNCTIONS(HF_LATE_MEMBER)
 *	} loaded;
 *	static const struct hf_late_function functions[] = {FUNCTIONS(HF_LATE_NAME)};
 *	FUNCTIONS(HF_LATE_CALL)
 */
#ifndef HF_BASE_LATE_H
#define HF_BASE_LATE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct hf_late_function {
	const char *name;
	void *at; /* the pointer to it that is filled in */
};

struct hf_late {
	const char *file;    /* its soname */
	const char *package; /* the one of Debian that has it */
	const char *purpose; /* what it is needed for */
	const struct hf_late_function *functions;
	size_t n;

	pthread_mutex_t lock;
	bool is_loaded;
};

/*
 * Loads the library unless that was done before; it stays until the program ends. From any
 * thread. HF_EFATAL: it is not there, or without one of the functions; the text says which
 * package to install.
 */
struct hf_err *hf_late_load(struct hf_late *l) HF_MUST;

/* Nobody but ourselves may find them: the library looks for its own functions by the same names. */
#define HF_LATE_HIDDEN __attribute__((visibility("hidden")))

/* One function each, out of `how` (return, or nothing), type, name, parameters and arguments. */
#define HF_LATE_MEMBER(how, type, name, params, args) type(*name) params;
#define HF_LATE_NAME(how, type, name, params, args)   {#name, (void *)&loaded.name},
#define HF_LATE_CALL(how, type, name, params, args)                                            \
	HF_LATE_HIDDEN type(name) params                                                       \
	{                                                                                      \
		how(loaded.name) args;                                                         \
	}

/*
 * A note in the program that it may load a library, for who makes packages: what it is linked to
 * is found by itself, this would not be. The form is that of uapi-group.org, "ELF dlopen metadata".
 */
#define HF_LATE_NOTE(variable, feature, what, soname)                                          \
	HF_LATE_NOTE_(variable,                                                                \
		"[{\"feature\":\"" feature "\",\"description\":\"" what                        \
		"\",\"priority\":\"recommended\",\"soname\":[\"" soname "\"]}]")
#define HF_LATE_NOTE_(variable, json)                                                          \
	__attribute__((used, aligned(4), section(".note.dlopen"))) static const struct {       \
		_Alignas(4) uint32_t name_len, len, type;                                      \
		char name[4];                                                                  \
		_Alignas(4) char text[sizeof(json)];                                           \
	} variable = {4, sizeof(json), 0x407c0c0a, "FDO", json}

#endif
