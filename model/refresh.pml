/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * refresh.pml - a holder renews its lock by replacement while others remove it and move in.
 *
 * H holds a shared lock; its files are f[0], f[1], ...  Each of NREM removers sees one of them,
 * judges it dead (rightly or wrongly), deletes that name, looks whether the holder is there
 * under another name, and if not acquires the exclusive lock: list, create, list.  Any process
 * may pause for any time between two steps, so also between the proof and the deletion.
 *
 *   RULE  0  restic's refresh: create, delete the old one, no questions
 *         1  restic's refreshStaleLock, Borg 2's refresh: the old file looked for before and
 *            after the creation of the new one
 *         2  what is built: r1 list; r2 create; r3 list, old and new there; (r4 pause;) r5 delete
 *            the old one; r6 list, new one there; only then is the lease extended
 *   HASTY 1  a conflicting lock counts at once;  0: while the own lock is there without a gap, H
 *            looks again until the other has withdrawn or is known to stay
 *   CARE  1  a remover lists again before it deletes, and leaves a holder alone that has a newer
 *            name by then (courtesy: the properties do not need it)
 *   AFTER 1  a remover lists after the deletion, before it acquires (courtesy as well)
 *   GRANT 1  who has removed a lock holds without looking again
 *   PLAIN 1  the last remover removes nothing, but acquires as anybody may, at any time
 *   RENEW    so many refreshes
 *
 * Properties
 *   revive    H never extends its lease while a remover holds the exclusive lock (rule D2)
 *   excl      two removers never hold the exclusive lock both (rule D8: a removal grants nothing)
 *   needless  H gives up only if somebody did remove a lock of its
 *   vacuous   no remover ever holds the lock beside a holder that has not noticed yet
 *
 * Assumes strong listings (list.pml and weak.pml do not), and that whoever creates an exclusive
 * lock beside ours withdraws it or keeps it, but does not vanish in between; if it does, H gives
 * up after a bounded time, which is HASTY=1 and safe.
 */
#ifndef RULE
#define RULE 2
#endif
#ifndef HASTY
#define HASTY 0
#endif
#ifndef CARE
#define CARE 1
#endif
#ifndef AFTER
#define AFTER 1
#endif
#ifndef GRANT
#define GRANT 0
#endif
#ifndef PLAIN
#define PLAIN 0
#endif
#ifndef RENEW
#define RENEW 3
#endif
#ifndef NREM
#define NREM 2
#endif

bool f[RENEW + 1];
byte files;              /* how many of them are there */
bool x[2], held[2];      /* exclusive locks of the removers: the file is there; it counts */
bool lost, removed, bad, beside;
bool started;

#define CONFLICT (x[0] || x[1])
#define STAYS (held[0] || held[1])

inline put(i)
{
	atomic {
		f[i] = true;
		files++
	}
}

inline drop(i) /* "not found" is success */
{
	atomic {
		if
		:: f[i] ->
			f[i] = false;
			files--
		:: else
		fi
	}
}

/* One listing, repeated while a conflict may go away.  `mine` is what must be in it. */
inline look(mine)
{
	if
	:: !(mine) -> goto gone
	:: (mine) && !CONFLICT
	:: HASTY && (mine) && CONFLICT -> goto gone
	:: !HASTY && (mine) && STAYS -> goto gone
	fi
}

active proctype H()
{
	byte cur, new;

	put(0);
	started = true;
	if
	:: CONFLICT -> /* not acquired, which is not a loss */
		drop(0);
		goto end
	:: else
	fi;
	do
	:: cur < RENEW ->
		new = cur + 1;
#if RULE == 0
		put(new);
		drop(cur);
		atomic {
			bad = bad || STAYS;
			cur = new
		}
#elif RULE == 1
		look(f[cur]);
		put(new);
		look(f[cur]);
		drop(cur);
		atomic {
			bad = bad || STAYS;
			cur = new
		}
#else
		look(f[cur]);
		put(new);
		look(f[cur] && f[new]);
		drop(cur);
		if
		:: atomic {
			f[new] && !CONFLICT ->
			bad = bad || STAYS;
			cur = new
		   }
		:: !f[new] -> goto gone
		:: HASTY && f[new] && CONFLICT -> goto gone
		:: !HASTY && f[new] && STAYS -> goto gone
		fi
#endif
	:: break
	od;
	goto end;
gone:
	lost = true;
	drop(new);
	drop(cur);
end:	skip
}

proctype Remover(byte me)
{
	byte seen, other;
	bool alive;

	other = 1 - me;
	if
	:: PLAIN && me == NREM - 1 -> goto acquire
	:: else
	fi;
endwait:
	(started && files > 0);
	atomic { /* judged: any of those that are there */
		if
		:: files > 0 ->
			select(seen : 0 .. RENEW);
			if
			:: f[seen]
			:: else -> goto end
			fi
		:: else -> goto end
		fi
	};
#if CARE
	atomic {
		alive = !f[seen];
		if
		:: seen < RENEW && f[seen + 1] -> alive = true
		:: else
		fi
	};
	if
	:: alive -> goto end
	:: else
	fi;
#endif
	atomic {
		if
		:: f[seen] -> removed = true
		:: else
		fi;
		drop(seen)
	};
#if AFTER
	if
	:: files -> goto end
	:: else
	fi;
#endif
acquire:
	if
	:: !GRANT && (files || x[other]) -> goto end
	:: else
	fi;
	x[me] = true;
	atomic {
		if
		:: !GRANT && (files || x[other]) ->
			x[me] = false;
			goto end
		:: else ->
			held[me] = true;
			beside = beside || !lost
		fi
	};
end:	skip
}

init {
	atomic {
		run Remover(0);
		if
		:: NREM > 1 -> run Remover(1)
		:: else
		fi
	}
}

ltl revive { [] !bad }
ltl excl { [] !(held[0] && held[1]) }
ltl needless { [] (lost -> removed) }
ltl vacuous { [] !beside }
