/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * commit.pml - what a backup may report as good while its lock can vanish at any time.
 *
 * A is a backup, P a prune, B (with -DNB=1) a second backup, and U removes lock files of the
 * living, which stands for every way in which that happens: a wrong verdict "stale", clocks that
 * differ, another pid namespace, unlock --remove-all, rm.  The store is linearizable.  Names of
 * locks, packs, index files and snapshots are never reused.
 *
 * Packs are bits.  Bit 0 is X, garbage of old that an index file still names, so that A may
 * deduplicate against it.  Bit i is the pack that attempt i of A uploads.  Each pack has an index
 * file of its own: the bit in `ix` is both "is named by an index" and "that index file is there".
 *
 * A: lock, load the index, PUT pack, PUT index, list the own lock (c3) or not, PUT snapshot, then
 * validate (c5): own lock listed, and every index file relied on listed.  If that fails, A
 * takes a new lock and does it all again.  What it uploaded itself counts as known then only if
 * it is confirmed: named by an index file, and the own lock seen in a listing afterwards.  The
 * suspect snapshot is deleted after the new one is validated, or when A gives up.
 *
 *   ACK   0  commit blindly (restic, Borg)
 *         1  look for the own lock, then commit
 *         2  the same, and look for it once more after the commit
 *         3  the same, and look for the index files as well (what is built)
 *   TRUST 1  a new attempt reuses unconfirmed packs that it finds in the index
 *         2  a pack counts as confirmed when a later lock than the one of its upload is seen
 *   PR    0  restic's prune: exclusive lock; delete unindexed packs; rewrite the index; delete
 *         1  exclusive lock; rewrite the index; look for the own lock; then the first deletion
 *         2  shared lock; rewrite the index (marks); wait for the holders seen then; read the
 *            snapshots again; put back what is used; delete what no index names
 *         3  what is built (docs/adr/0015): index and snapshots read without an exclusive lock;
 *            then with it: snapshots and index read again; rewrite the index; look for the own
 *            lock; delete
 *   AGAIN 0  PR 3 does not read again
 *   OWN   1  c5 looks for the index file of this attempt as well (what is built, where it lists)
 *   AGE   1  prune lists the packs before it loads the index, and leaves alone the packs in no
 *            index that are younger than the longest time between an upload and the PUT of the
 *            index file that names it
 *   RESTORE 0  a prune that finds its lock gone leaves out of the index what it took out
 *   DATA  1  a backup passes over the entries of packs that a listing of data/ does not show
 *   KILLS    so many removals;  WHO: of whose locks, a sum of 1 (A), 2 (P), 4 (B)
 *
 * Properties
 *   safe      no backup reported good lacks a pack (rules D1, D4, D5)
 *   readable  in the end the good snapshot is covered by the index, too
 *   vacuous   A never reports success: must be violated, else the others say nothing
 *
 * Assumes that a reader sees the packs of an index file that it loads, and that A does not sleep
 * between two steps for longer than AGE grants (only where AGE is 1).
 */
#ifndef ACK
#define ACK 3
#endif
#ifndef TRUST
#define TRUST 0
#endif
#ifndef PR
#define PR 1
#endif
#ifndef AGE
#define AGE 0
#endif
#ifndef KILLS
#define KILLS 2
#endif
#ifndef WHO
#define WHO 3
#endif
#ifndef NB
#define NB 0
#endif

#ifndef RESTORE
#define RESTORE 1
#endif
#ifndef DATA
#define DATA 0
#endif
#ifndef AGAIN
#define AGAIN 1
#endif
#ifndef OWN
#define OWN 0
#endif

#define ALL 255
/* The index files that c5 looks for: those that were loaded, and with OWN also the one written. */
#define RELIED (OWN -> relied : relied & ~BIT(att))
#define NATT (KILLS + 2) /* attempts: one, one per removal, one per rewritten index */
#define BIT(i) (1 << (i))
#define PX (PR != 2)

byte pk = 1, ix = 1;        /* packs there; index files there */
byte sn, uses[NATT + 1];    /* snapshots there, by attempt; the packs each needs */
byte usesB;                 /* the same of B */
bool snB;
byte lockA, lockP, lockB;   /* 0: no file; else the number of the name */
byte good;                  /* the attempt that A reported as good */
bool goodB;
byte kills;
byte young;                 /* uploaded, and A will yet put its index file */

#define SAFE (!(good && (uses[good] & ~pk)) && !(goodB && (usesB & ~pk)))

inline acquire(lock, my, conflict)
{
	do
	:: !(conflict) -> /* list */
		atomic {
			my++;
			lock = my
		};
		if /* list again */
		:: atomic {
			(conflict) ->
			if
			:: lock == my -> lock = 0
			:: else
			fi
		   }
		:: !(conflict) -> break
		fi
	od
}

active proctype A()
{
	byte my, att, relied, unconf, dead, own, u;

	acquire(lockA, my, (PX && lockP));
again:
	atomic {
		att++;
		u = 0
	};
	if
	:: att > NATT -> goto failed
	:: else
	fi;
	/* Load the index.  X, if named, is not stored again. */
	atomic {
		relied = ix & ~dead & (DATA -> pk : ALL);
		u = relied & 1;
		own = relied & ~1;
		if
		:: own -> u = u | own
		:: else
		fi
	};
	if
	:: own == 0 ->
		atomic {
			pk = pk | BIT(att);
			young = young | BIT(att);
			unconf = unconf | BIT(att)
		};
		atomic {
			ix = ix | BIT(att);
			young = young & ~BIT(att);
			relied = relied | BIT(att);
			u = u | BIT(att)
		}
	:: else
	fi;
#if ACK >= 1
	if
	:: lockA == my -> /* c3, or a refresh: confirmed */
		atomic {
			unconf = 0;
			if
			:: TRUST == 2 -> dead = 0
			:: else
			fi
		}
	:: ACK >= 3 /* the last look is so young that c3 is left out */
	:: lockA != my ->
#if ACK == 1
		goto failed
#else
		goto redo
#endif
	fi;
#endif
	atomic {
		sn = sn | BIT(att);
		uses[att] = u
	};
#if ACK == 2
	if
	:: lockA == my
	:: else -> goto redo
	fi;
#endif
#if ACK >= 3
	/* c5: two listings at the same time, so that either may be the first. */
	if
	:: lockA == my;
		unconf = 0;
		if
		:: (RELIED & ~ix) == 0
		:: else -> goto redo
		fi
	:: (RELIED & ~ix) == 0;
		if
		:: lockA == my
		:: else -> goto redo
		fi
	:: lockA != my || (RELIED & ~ix) != 0 -> goto redo
	fi;
#endif
	good = att;
	sn = sn & BIT(good); /* the suspect ones */
	goto release;
redo:
	atomic {
		/* What the broken chain did not confirm, no later one can. */
		dead = (TRUST == 1 -> 0 : dead | unconf);
		unconf = (TRUST == 2 -> unconf : 0);
		if
		:: lockA == my -> lockA = 0
		:: else
		fi
	};
	acquire(lockA, my, (PX && lockP));
	goto again;
failed:
	sn = 0;
release:
	atomic {
		if
		:: lockA == my -> lockA = 0
		:: else
		fi
	}
}

#if NB
/* One attempt suffices: what counts is whether it may be reported. */
active proctype B()
{
	byte my, relied;

	acquire(lockB, my, (PX && lockP));
	relied = ix & (DATA -> pk : ALL);
	if
	:: lockB == my
	:: else -> goto release
	fi;
	atomic {
		snB = true;
		usesB = relied
	};
	if
	:: lockB == my && (relied & ~ix) == 0 -> goodB = true
	:: else -> snB = false
	fi;
release:
	atomic {
		if
		:: lockB == my -> lockB = 0
		:: else
		fi
	}
}
#endif

inline used(res)
{
	atomic {
		res = (snB -> usesB : 0);
		for (i : 1 .. NATT) {
			if
			:: sn & BIT(i) -> res = res | uses[i]
			:: else
			fi
		}
		i = 0
	}
}

active proctype P()
{
	byte my, i, idx, use, loose, gone, a, b;

#if PX && PR != 3
	acquire(lockP, my, (lockA || lockB));
#endif
#if AGE
	loose = pk & ~young;
	idx = ix;
	used(use);
	loose = loose & ~idx;
#else
	idx = ix;
	used(use);
	loose = pk & ~idx;
#endif
	gone = idx & ~use;
#if PX
	if
	:: use & ~idx -> goto release /* a broken repository: hands off */
	:: else
	fi;
#endif
#if PR == 0
	pk = pk & ~loose;
	ix = ix & ~gone;
	pk = pk & ~gone;
#elif PR == 1 || PR == 3
#if PR == 3
	acquire(lockP, my, (lockA || lockB));
#if AGAIN
	used(use);
	if
	:: idx & ~ix -> goto release /* another prune has been here */
	:: else
	fi;
	gone = gone & ~use;
	loose = loose & ~ix;
#endif
#endif
	ix = ix & ~gone;
	if
	:: lockP == my
	:: else ->
		ix = ix | (RESTORE -> gone : 0); /* somebody may rely on it */
		goto release
	fi;
	pk = pk & ~loose;
	pk = pk & ~gone;
#else
	ix = ix & ~gone;
	atomic {
		a = lockA;
		b = lockB
	};
	(a == 0 || lockA != a);
	(b == 0 || lockB != b);
	used(use);
	ix = ix | (gone & use);
	gone = (gone | loose) & ~use & ~ix;
	pk = pk & ~gone;
#endif
release:
	atomic {
		if
		:: lockP == my -> lockP = 0
		:: else
		fi
	}
}

active proctype U()
{
	do
	:: atomic { kills < KILLS && (WHO & 1) -> kills++; lockA = 0 }
	:: atomic { kills < KILLS && (WHO & 2) -> kills++; lockP = 0 }
	:: atomic { kills < KILLS && (WHO & 4) -> kills++; lockB = 0 }
	:: break
	od
}

ltl safe { [] SAFE }
ltl readable { <>[] (!good || (uses[good] & ~(pk & ix)) == 0) }
ltl vacuous { [] !good }
