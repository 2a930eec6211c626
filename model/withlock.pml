/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * withlock.pml - front, keeper and a foreign command that must not run without the lock.
 *
 * The front is the process that the shell knows; it starts the command.  The keeper owns the
 * lock and renews it.  Both see the lease in a shared page, watch each other, and can stop the
 * command.  Any of them may be killed, the keeper may hang in the store, the front may be
 * stopped, the net may fail, the machine may be suspended.  Time is in ticks; the lease saturates.
 * A supervisor that can act does what is due before the next tick.
 *
 *   F, G, S  fence, grace, and the age at which strangers remove the lock
 *   HOSTILE 1 strangers remove it at any time
 *   ONLOST  0 stop the command at the fence    1 SIGTERM at the fence, SIGKILL after G
 *           2 the keeper gives up and the command goes on (Borg 2)
 *   EYES    0 only the keeper enforces the lease    1 the front does, too
 *   THAW    0 a frozen command whose lock is lost is killed as it is
 *           1 it gets SIGTERM and SIGCONT, and G to obey
 *   LATE    0 the grace ends at F+G whenever it began, also after a suspend
 *           1 SIGKILL comes G after SIGTERM
 *   ADOPT   0 a second keeper looks for the lock before the command goes on    1 it does not
 *   HALT    1 the command is stopped while there is no keeper    0 it goes on until the fence
 *   PDEATH  0 nothing asks the kernel for a SIGTERM at the front's death
 *   PPID    0 the child does not look, after asking for it, whether its parent still lives
 *   REG     1 the child writes its process group into the page before it becomes the command
 *           0 the front does so, after the fork
 *   WAIT    1 the keeper waits for the descendants  0 it releases when the command has ended (Borg)
 *   ESC     1 descendants may leave the process group; the front is their subreaper
 *
 * Properties
 *   awake     the command runs only until F+G after the base of the lease, unless nobody is left
 *             who could stop it (rules D3, D9)
 *   nosteal   while somebody is, it never runs beside a stranger who took the lock for dead
 *   told      if front and keeper are dead, a living command has got SIGTERM
 *   released  once the lock is released, no descendant is alive
 *   adoption  a command goes on under a second keeper only if the lock is there
 *   vacuous   no command ever survives the death of a keeper
 *
 * Assumes that SIGSTOP and SIGKILL work at once, and one scheduling latency after a resume or
 * after a stopped front goes on.  SIGTERM at the front's death does not reach a set-id command.
 */
#ifndef F
#define F 3
#endif
#ifndef G
#define G 1
#endif
#ifndef S
#define S 6
#endif
#ifndef HOSTILE
#define HOSTILE 0
#endif
#ifndef ONLOST
#define ONLOST 0
#endif
#ifndef EYES
#define EYES 1
#endif
#ifndef THAW
#define THAW 0
#endif
#ifndef LATE
#define LATE 0
#endif
#ifndef ADOPT
#define ADOPT 0
#endif
#ifndef HALT
#define HALT 1
#endif
#ifndef PDEATH
#define PDEATH 1
#endif
#ifndef PPID
#define PPID 1
#endif
#ifndef REG
#define REG 1
#endif
#ifndef WAIT
#define WAIT 1
#endif
#ifndef ESC
#define ESC 0
#endif

mtype = { UP, STUCK, DEAD };            /* front and keeper; STUCK: stopped, or hung */
mtype = { NONE, FORKED, RUNS, GONE };   /* the command */

mtype front = UP, keeper = UP, child = NONE;
bool known, armed;      /* its group is in the page; SIGTERM comes when the front dies */
bool desc, far;         /* descendants: in the group; outside of it */
bool frozen;            /* the group */
bool termed;            /* it has got SIGTERM ... */
byte since;             /* ... so many ticks ago */
byte el;                /* since the base of the lease */
bool lock = true, freed, lost;
bool net = true, asleep;
bool latency;           /* the moment after a resume, before anybody has run */
bool second, adopting, blind;
byte kills;

#define GROUP (child == RUNS || desc)
#define AWAKE (GROUP && !frozen && !asleep && !latency)
#define FRONT (front == UP && EYES)
#define ABLE (!asleep && ((FRONT && child != FORKED) || (keeper == UP && known)))
#define SOMEBODY (!asleep && (front == UP || (keeper == UP && known)))
#define KEEPER (keeper == UP && !asleep)

/* What is due. */
#define D_LOST (ABLE && ONLOST != 2 && lost && GROUP && !termed)
#define D_FENCE (ABLE && ONLOST != 2 && el >= F && GROUP && !frozen && !termed)
#define D_LATE (ABLE && ONLOST != 2 && !LATE && el >= F + G && GROUP && !frozen)
#define D_KILL (ABLE && termed && since >= G && GROUP)
#define D_ORPHAN (KEEPER && front == DEAD && known && GROUP && !termed)
#define D_KEEPER (front == UP && !asleep && keeper == DEAD && GROUP && !termed && \
	(!second || HALT))
#define DUE (D_LOST || D_FENCE || D_LATE || D_KILL || D_ORPHAN || D_KEEPER)

inline killgroup()
{
	child = (child == RUNS -> GONE : child);
	desc = false;
	frozen = false;
	termed = false
}

/* SIGTERM, for those who still may run; a command that is frozen past the fence must not. */
inline endgroup()
{
	if
	:: el >= F && frozen && !THAW -> killgroup()
	:: else ->
		termed = true;
		since = 0;
		frozen = false
	fi
}

active proctype World()
{
	do
	:: atomic {
		!DUE ->
		el = (el <= S -> el + 1 : el);
		latency = false;
		if
		:: termed && !asleep && since < G -> since++
		:: else
		fi
	   }

	/* The command and its descendants. */
	:: atomic { front == UP && child == NONE && !asleep && el < F -> child = FORKED }
	:: atomic { front == UP && child == FORKED && !asleep && !REG -> known = true }
	:: atomic { child == FORKED && !asleep && !armed -> known = known || REG; armed = PDEATH }
	:: atomic {
		child == FORKED && !asleep && el < F && (armed || !PDEATH) ->
		if
		:: PPID && front == DEAD -> child = GONE
		:: else -> child = RUNS
		fi
	   }
	:: atomic { child == RUNS && AWAKE -> child = GONE } /* by itself, or of SIGTERM */
	:: atomic { child == RUNS && AWAKE && !desc -> desc = true }
	:: atomic { desc && AWAKE -> desc = false }
	:: atomic { ESC && child == RUNS && AWAKE && !far -> far = true }
	:: atomic { far -> far = false }

	/* The keeper. */
	:: atomic {
		KEEPER && net && !freed && !lost && !adopting && front != DEAD && el ->
		if
		:: lock ->
			el = 0;
			if
			:: frozen && !termed -> frozen = false
			:: else
			fi
		:: else -> lost = true
		fi
	   }
	:: atomic {
		KEEPER && adopting && (net || ADOPT) ->
		adopting = false;
		if
		:: ADOPT || lock ->
			el = 0;
			frozen = false;
			blind = blind || !lock
		:: else -> lost = true
		fi
	   }
	:: atomic {
		KEEPER && !freed && front == UP && child == GONE && (!WAIT || (!desc && !far)) ->
		lock = false;
		freed = true
	   }
	:: atomic {
		KEEPER && !freed && front == DEAD && !(known && GROUP) ->
		lock = false;
		freed = true
	   }

	/* Either of them, at the page. */
	:: atomic { D_LOST -> endgroup() }
	:: atomic {
		D_FENCE ->
		if
		:: ONLOST == 0 -> frozen = true
		:: else ->
			termed = true;
			since = 0
		fi
	   }
	:: atomic { D_LATE && (termed || ONLOST == 1) -> killgroup() }
	:: atomic { D_KILL -> killgroup() }
	:: atomic { D_ORPHAN -> endgroup() }
	:: atomic {
		D_KEEPER ->
		if
		:: !second ->
			second = true;
			adopting = true;
			keeper = UP;
			if
			:: HALT -> frozen = true
			:: else
			fi
		:: else -> endgroup()
		fi
	   }

	/* Mishaps. */
	:: atomic {
		kills < 3 && front != DEAD ->
		kills++;
		front = DEAD;
		if
		:: armed && GROUP -> termed = true; since = 0
		:: armed && child == FORKED -> child = GONE
		:: else
		fi
	   }
	:: atomic { kills < 3 && keeper != DEAD -> kills++; keeper = DEAD }
	:: atomic { front == UP -> front = STUCK }
	:: atomic { front == STUCK -> front = UP; latency = true }
	:: atomic { keeper == UP -> keeper = STUCK }
	:: atomic { keeper == STUCK -> keeper = UP; latency = true }
	:: atomic { net -> net = false }
	:: atomic { !net -> net = true }
	:: atomic { !asleep -> asleep = true }
	:: atomic { asleep -> asleep = false; latency = true }
	:: atomic { lock && (HOSTILE || el >= S) -> lock = false }
	od
}

ltl awake { [] !(AWAKE && el > F + G && SOMEBODY) }
ltl nosteal { [] (HOSTILE || !(AWAKE && !lock && !freed && SOMEBODY)) }
ltl told { [] (front == DEAD && keeper == DEAD && child == RUNS -> termed) }
ltl released { [] (freed -> !GROUP && !far) }
ltl adoption { [] !blind }
ltl vacuous { [] !(second && !adopting && AWAKE) }
