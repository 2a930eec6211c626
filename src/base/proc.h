/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which process this is, said so that another process can ask the kernel whether it still lives.
 * A number alone is no name: it means something only within one boot of one kernel and one pid
 * namespace, and is given to another process some time after its owner ends. The start time tells
 * the two apart, but counts from a moment that time namespaces shift.
 */
#ifndef HF_BASE_PROC_H
#define HF_BASE_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct hf_proc {
	int64_t pid;     /* 0: nothing is known */
	uint64_t start;  /* field 22 of /proc/PID/stat, clock ticks; 0: unknown */
	char boot[40];   /* /proc/sys/kernel/random/boot_id; "": unknown */
	uint64_t pidns;  /* inode of /proc/self/ns/pid; 0: unknown */
	uint64_t timens; /* inode of /proc/self/ns/time; 0: kernel without them */
};

/* What /proc/PID/stat says of a process, or /proc/PID/task/TID/stat of a thread. */
struct hf_proc_stat {
	char state; /* 'R', 'S', 'T', 'Z' ... */
	pid_t parent, group;
	uint64_t start; /* as in struct hf_proc */
};

/* False: there is no such process, or who asks may not know. Allocates nothing. */
bool hf_proc_stat(const char *path, struct hf_proc_stat *out);

/* The calling process. */
struct hf_proc hf_proc_self(void);

enum hf_life {
	HF_LIFE_UNKNOWN, /* from here nobody can tell */
	HF_LIFE_ALIVE,   /* or it may be, and who asks may not know: counts as alive */
	HF_LIFE_DEAD,    /* beyond doubt */
};

/*
 * Whether `p` lives, as seen by `self`. Asks with pidfd_open(), never with a signal. Being refused
 * an answer (another user, hidepid) means that there is somebody.
 */
enum hf_life hf_proc_life(const struct hf_proc *p, const struct hf_proc *self);

/* True when this process is in the first pid namespace of its kernel. */
bool hf_proc_is_initial(const struct hf_proc *self);

#endif
