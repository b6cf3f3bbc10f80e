/* Sessions, echo and retained blocks: docs/contract.md, "Freshness", as a model that spin searches exhaustively.
 * docs/formal.md lists what is left out and why. `formal/verify` runs it.
 *
 * `now` is the true time; the node's clock is `now - lost`: a pause of its guest makes it stand still. The clock of
 * session p's publisher shows `now + OFFSET(p)`. One step of the loop at the end is one event; any may come next.
 *
 * The network is a set of slots, not a queue: what lies in one may arrive at any time, in any order, any number of times
 * or never. So delay, loss, retained messages, replays, bursts and reordering are all the same event, `receive`.
 */

#ifndef LAST
#define LAST 5          /* true time at the end */
#endif
#ifndef SESSIONS
#define SESSIONS 2
#endif
#ifndef BLOCKS
#define BLOCKS 2        /* 1: the vital block alone */
#endif
#ifndef MESSAGES
#define MESSAGES 2      /* blocks that a session publishes at most */
#endif
#ifndef PINGS
#define PINGS 2
#endif
#ifndef AGES
#define AGES 2          /* 1: a block is always published at once; 2: or one unit after it was measured */
#endif
#ifndef OLDER
#define OLDER 1         /* 1: a block that a later one has overtaken may arrive; else only the newest of its name */
#endif
#ifndef LATE_PONG
#define LATE_PONG 0     /* 1: a pong may be overtaken by a later one */
#endif
#ifndef PAUSE
#define PAUSE 0         /* so long does the guest stand still, once; 0: never */
#endif
#define LIVE 0          /* the vital block */
#define ENERGY 1
#define LIMIT(b) (2 + b)
#define NOBODY 2
#define NEVER -100
#define OFFSET(p) (1 + 2 * p)

byte now, lost, paused_at;
bool paused;
#define node (now - lost)

/* A block's true times follow from what it carries; the assertions need them. */
#define PUBLISHED(p, x) (x.boot - OFFSET(p))
#define MEASURED(p, x) (x.boot - OFFSET(p) - x.age)

typedef Message { bool any, session; byte boot; bool seq, age }  /* seq: counts within one reading of the clock */
typedef Pong { bool any, session; byte number, sent, boot }

/* The publishers. */
byte messages[2];
byte this_unit[4];      /* blocks published since the clock moved, by session and block */
byte pings;

/* The network. */
Message way[4];         /* by session and block */
Message older;          /* one that a later one has overtaken */
bool older_block;
byte ping;              /* the node's clock at its sending, plus one */
Pong pong[2];           /* by session */
Pong late;              /* one that a later one has overtaken */

/* The node. */
byte served = NOBODY;
Message held[2];
short expires[2];       /* by its own clock */
Message waiting[4];
bool dated[2];          /* an echo dates the session's blocks: ... */
short lead[2];          /* ... its clock showed 0 at this local time, at the earliest */
byte counted[2];        /* the number of the session's last ping whose pong counted */
byte voided;              /* the last ping before a clock was disproved */
bool goodbye;

/* Promise 1 knows one exception: from a pause of the guest until the first message that can disprove a clock, whichever
 * session's, or until a ping that was sent after it dates the session rightly. */
bool excused[2];
byte pings_before;

/* Scratch, 0 between events. */
bool p, b, s;
short earliest;
Message x;
Pong y;

#define LOCAL(p, boot) (lead[p] + boot)
#define IS_NEWER(x, y) (!y.any || x.boot > y.boot || (x.boot == y.boot && x.seq > y.seq))
#define EXPIRES(p, b, x) (LOCAL(p, x.boot) - x.age + LIMIT(b))
/* By how much the node takes session p's blocks for older than they are; below 0 after a pause. */
#define MARGIN(p) (0 - OFFSET(p) - lost - lead[p])

inline copy(from, to) {
    to.any = from.any; to.session = from.session; to.boot = from.boot; to.seq = from.seq; to.age = from.age
}
inline copy_pong(from, to) {
    to.any = from.any; to.session = from.session; to.number = from.number; to.sent = from.sent; to.boot = from.boot
}
inline clear_pong(m) { m.any = 0; m.session = 0; m.number = 0; m.sent = 0; m.boot = 0 }
inline clear(m) { m.any = 0; m.session = 0; m.boot = 0; m.seq = 0; m.age = 0 }

inline drop(k) { clear(held[k]); expires[k] = NEVER }

/* RegisterCache._hold and _publish: one block. */
inline hold(k, m) {
    assert(!held[k].any || held[k].session != m.session
        || MEASURED(m.session, m) >= MEASURED(m.session, held[k]));             /* a value never goes back */
    expires[k] = EXPIRES(m.session, k, m);
    copy(m, held[k])
}

inline start_serving(k) {
    drop(k);
    if
    :: waiting[2 * s + k].any && LOCAL(s, waiting[2 * s + k].boot) <= node -> hold(k, waiting[2 * s + k])
    :: else
    fi;
    clear(waiting[2 * s + k])
}

/* RegisterCache._take_over and _better: another session is served when the served one's vital data is stale or its
 * publisher said goodbye, and only with vital data that lasts longer. */
inline take_over() {
#define CANDIDATE waiting[2 * s + LIVE]
    if
    :: (dated[s] && (CANDIDATE.any || waiting[2 * s + ENERGY].any)
#ifndef NO_EXPIRY
        && (served == NOBODY || goodbye || node >= expires[LIVE])
#endif
        && (served == NOBODY || (CANDIDATE.any && LOCAL(s, CANDIDATE.boot) <= node
            && EXPIRES(s, LIVE, CANDIDATE) > node && EXPIRES(s, LIVE, CANDIDATE) > expires[LIVE]))) ->
        /* Two publishers never take turns while the served one's data is good; an echo may make it seem older. */
        assert(served == NOBODY || goodbye || !held[LIVE].any
            || now - MEASURED(served, held[LIVE]) + MARGIN(served) >= LIMIT(LIVE));
        served = s; goodbye = 0;
        start_serving(LIVE); start_serving(ENERGY)
    :: else
    fi
}

inline forget_clock(q) { dated[q] = 0; lead[q] = 0 }

/* RegisterCache._disown: a block that a session's clock dates after now disproves that clock. That means that this
 * host's own has stood still: all that it dated goes, no other session's clock holds, and no ping that was sent before
 * tells of the clock that this host has now. */
inline disown() {
    if
    :: served != NOBODY ->
        copy(held[LIVE], waiting[2 * served + LIVE]); copy(held[ENERGY], waiting[2 * served + ENERGY])
    :: else
    fi;
    drop(LIVE); drop(ENERGY);
    served = NOBODY;
    forget_clock(p);
#ifndef OTHER_CLOCKS_KEPT
    forget_clock(1 - p);
#endif
    voided = pings
}

inline end_of_excuse(published) {
    if
    :: paused && published >= paused_at && dated[p] && now - published < 0 - MARGIN(p) ->
        excused[0] = 0; excused[1] = 0
    :: else
    fi
}

/* RegisterCache.hear_block, of block b of session p: x. */
inline receive_block() {
    s = p;
    end_of_excuse(PUBLISHED(p, x));
    if
#ifdef NO_SESSION
    :: served != NOBODY && dated[p] && (held[b].session != p || IS_NEWER(x, held[b])) -> hold(b, x)
    :: served != NOBODY && !(dated[p] && (held[b].session != p || IS_NEWER(x, held[b])))
    :: served == NOBODY && IS_NEWER(x, waiting[2 * p + b]) -> copy(x, waiting[2 * p + b]); take_over()
    :: else
#else
    :: p == served ->
        if
#ifdef REPLAY_ACCEPTED
        :: !IS_NEWER(x, held[b]) -> expires[b] = node + LIMIT(b)       /* it came just now, so it is taken for new */
#elif !defined(NO_SEQUENCE)
        :: !IS_NEWER(x, held[b])
#endif
        :: else ->
            if
#ifndef CLOCK_KEPT
            :: LOCAL(p, x.boot) > node -> disown(); copy(x, waiting[2 * p + b])
#endif
            :: else -> goodbye = 0; hold(b, x)
            fi
        fi
    :: p != served && IS_NEWER(x, waiting[2 * p + b]) ->
        copy(x, waiting[2 * p + b]);
        if
#ifndef SERVED_ALONE_DISPROVES
        :: dated[p] && LOCAL(p, x.boot) > node -> disown()
#endif
        :: else -> take_over()
        fi
    :: else
#endif
    fi
}

inline date_anew(k) {
    if
    :: held[k].any && LOCAL(p, held[k].boot) > node -> drop(k)
    :: held[k].any && LOCAL(p, held[k].boot) <= node -> expires[k] = EXPIRES(p, k, held[k])
    :: else
    fi
}

/* A block in hand that is of after now. */
#define IN_HAND(k) ((p == served && held[k].any && LOCAL(p, held[k].boot) > node) \
    || (p != served && waiting[2 * p + k].any && LOCAL(p, waiting[2 * p + k].boot) > node))

/* What another session's clock dated goes with it. */
inline forget_other() {
    if
    :: served == 1 - p ->
        copy(held[LIVE], waiting[2 * served + LIVE]); copy(held[ENERGY], waiting[2 * served + ENERGY]);
        drop(LIVE); drop(ENERGY);
        served = NOBODY
    :: else
    fi;
    forget_clock(1 - p)
}

/* RegisterCache.hear_pong, EchoClock.add_echo: the clock showed `boot` at some moment from ping sent to pong received;
 * the earliest counts. The tightest echo stays, until one contradicts it: then all before is forgotten. */
inline receive_pong() {
    s = p;
    if
#ifndef ANY_PONG
    :: y.number <= counted[p] || y.number <= voided
#endif
    :: else ->
        counted[p] = y.number;
        end_of_excuse(PUBLISHED(p, y));
#ifdef PONG_BY_ARRIVAL
        earliest = node - y.boot;
#else
        earliest = y.sent - y.boot;
#endif
        if
        :: dated[p] && LOCAL(p, y.boot) > node ->
            forget_clock(p);
#ifndef OTHER_CLOCKS_KEPT
            forget_other();
#endif
            voided = pings; lead[p] = earliest; dated[p] = 1
        :: dated[p] && LOCAL(p, y.boot) <= node ->
            if
            :: earliest >= lead[p] -> lead[p] = earliest
            :: else
            fi
        :: else -> lead[p] = earliest; dated[p] = 1
        fi;
        if
        :: MARGIN(p) >= 0 && y.number > pings_before -> excused[p] = 0
        :: else
        fi;
        if
#ifndef SERVED_ALONE_DISPROVES
        :: IN_HAND(LIVE) || IN_HAND(ENERGY) -> disown()
#endif
#ifdef SERVED_ALONE_DISPROVES
        :: p == served -> date_anew(LIVE); date_anew(ENERGY)
#else
        :: p == served && !(IN_HAND(LIVE) || IN_HAND(ENERGY)) -> date_anew(LIVE); date_anew(ENERGY)
#endif
        :: else -> take_over()
        fi
    fi
}

/* What an answer would hold now: vital data that has not expired, alone or with the block beside it. */
inline judge() {
    if
    :: node < expires[LIVE] && !excused[held[LIVE].session] ->
        /* Promise 1: nothing over its limit. */
        assert(now - MEASURED(held[LIVE].session, held[LIVE]) <= LIMIT(LIVE));
        if
        :: node < expires[ENERGY] ->
            assert(now - MEASURED(held[ENERGY].session, held[ENERGY]) <= LIMIT(ENERGY));
            /* Promises 2 and 3: nothing of two sessions. */
            assert(held[ENERGY].session == held[LIVE].session)
        :: else
        fi
    :: else
    fi
}

inline forget() { p = 0; b = 0; s = 0; earliest = 0; clear(x); clear_pong(y) }

inline publish(P, B, A, overtakes) {
    x.any = 1; x.session = P; x.boot = now + OFFSET(P); x.seq = this_unit[2 * P + B]; x.age = A;
    this_unit[2 * P + B]++; messages[P]++;
    if
    :: overtakes -> copy(way[2 * P + B], older); older_block = B
    :: else
    fi;
    copy(x, way[2 * P + B]);
    printf("%d: session %d publishes block %d, age %d\n", now, P, B, A);
    forget()
}

/* A publisher never publishes a block older than the one before it. */
#define MAY(P, B, A) (P < SESSIONS && B < BLOCKS && A < AGES && messages[P] < MESSAGES && now >= A \
    && this_unit[2 * P + B] < SEQ && (A == 0 || !this_unit[2 * P + B]))
#ifndef SEQ
#define SEQ 1           /* blocks of a name that a publisher publishes at one reading of its clock */
#endif

#define PUBLISH(P, B) \
    :: d_step { MAY(P, B, 0) -> publish(P, B, 0, 0) } \
    :: d_step { MAY(P, B, 1) -> publish(P, B, 1, 0) } \
    :: d_step { MAY(P, B, 0) && OLDER && way[2 * P + B].any -> publish(P, B, 0, 1) } \
    :: d_step { MAY(P, B, 1) && OLDER && way[2 * P + B].any -> publish(P, B, 1, 1) }

#define RECEIVE(P, B) \
    :: d_step { way[2 * P + B].any -> \
        p = P; b = B; copy(way[2 * P + B], x); \
        printf("%d: block %d of session %d, boot %d, arrives\n", now, B, P, x.boot); \
        receive_block(); forget(); judge() }

#define ANSWER(P, overtakes) \
        if \
        :: overtakes -> copy_pong(pong[P], late) \
        :: else \
        fi; \
        pong[P].any = 1; pong[P].session = P; pong[P].number = pings; pong[P].sent = ping - 1; \
        pong[P].boot = now + OFFSET(P); \
        printf("%d: session %d answers the ping of %d\n", now, P, ping - 1)

#define TAKE_PONG(from) \
        copy_pong(from, y); p = y.session; \
        printf("%d: pong of session %d, sent %d, boot %d, arrives\n", now, p, y.sent, y.boot); \
        receive_pong(); forget(); judge()

#define ECHO(P) \
    :: d_step { ping && P < SESSIONS && pong[P].number < pings -> ANSWER(P, 0) } \
    :: d_step { ping && P < SESSIONS && LATE_PONG && pong[P].any && pong[P].number < pings -> ANSWER(P, 1) } \
    :: d_step { pong[P].any -> TAKE_PONG(pong[P]) }

active proctype world() {
    expires[LIVE] = NEVER; expires[ENERGY] = NEVER;
    do
    :: d_step { now < LAST ->
        now++; this_unit[0] = 0; this_unit[1] = 0; this_unit[2] = 0; this_unit[3] = 0;
        printf("%d: (node %d)\n", now, node); judge() }
    :: d_step { PAUSE && !paused && now + PAUSE <= LAST ->
        now = now + PAUSE; lost = PAUSE; paused = 1; paused_at = now;
        excused[0] = 1; excused[1] = 1; pings_before = pings;
        this_unit[0] = 0; this_unit[1] = 0; this_unit[2] = 0; this_unit[3] = 0;
        printf("%d: (node %d) after a pause\n", now, node) }
    :: d_step { pings < PINGS && (ping != node + 1 || pings == pings_before) -> pings++; ping = node + 1; printf("%d: ping\n", now) }
#ifdef GOODBYE
    :: d_step { !goodbye -> goodbye = 1; printf("%d: status offline\n", now); }
#endif
    PUBLISH(0, LIVE)
    PUBLISH(0, ENERGY)
    PUBLISH(1, LIVE)
    PUBLISH(1, ENERGY)
    RECEIVE(0, LIVE)
    RECEIVE(0, ENERGY)
    RECEIVE(1, LIVE)
    RECEIVE(1, ENERGY)
    :: d_step { older.any ->
        p = older.session; b = older_block; copy(older, x);
        printf("%d: an older block %d of session %d, boot %d, arrives\n", now, b, p, x.boot);
        receive_block(); forget(); judge() }
    ECHO(0)
    ECHO(1)
    :: d_step { late.any -> TAKE_PONG(late) }
    od
}
