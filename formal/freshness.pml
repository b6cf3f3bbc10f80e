/* Sessions, echo and retained blocks: docs/contract.md, "Freshness", as a model that spin searches exhaustively.
 *
 * Two runs of a publisher for one meter (sessions 0 and 1, alive at the same time or one after the other), one node,
 * and a broker that delays, keeps and replays. docs/formal.md lists what is left out and why.
 *
 * `now` is the true time. The node's clock is `now - lost`: a pause of its guest makes it stand still, and all that
 * session p's clock shows is `now + offset[p]`. One step of the loop below is one event; any event may come next.
 */

#ifndef LAST
#define LAST 6          /* true time at the end */
#endif
#ifndef PAUSE
#define PAUSE 2         /* so long does the guest stand still, once */
#endif
#define LIVE 0          /* the vital block */
#define ENERGY 1
#define LIMIT(b) (b == LIVE -> 1 : 2)
#ifndef MESSAGES
#define MESSAGES 3      /* blocks that a session publishes at most */
#endif
#ifndef PINGS
#define PINGS 3
#endif
#define NOBODY 2
#define NEVER -100

#define node (now - lost)

byte now, lost, pauses, pings;
byte offset[2];
bool doubtful;          /* paused, and nothing since could disprove the clock: at most one answer, says promise 1 */
byte paused_at;

/* `measured` and `published` are true times, which no message carries: the assertions need them. */
typedef Message {
    byte any;           /* 0: no message */
    byte session, seq, boot, age, measured, published
};

chan wire0 = [2] of { byte, byte, byte, byte, byte, byte };   /* in order: one connection of the broker each */
chan wire1 = [2] of { byte, byte, byte, byte, byte, byte };
#define PONG 2
/* block or PONG, seq or when its ping was sent, boot, age, measured, published */

Message retained[2];    /* by block, whoever published it last */
Message older;          /* what a bridge or a queue may bring once more: any message of the past */
byte seq[2], newest[4]; /* publisher: numbers given, and when the block's last message was measured */

byte ping_sent[2];      /* on its way to a session's publisher: the node's clock, plus one */

/* The node. */
byte served = NOBODY;
Message held[2];
short held_measured[2]; /* local time: the earliest at which the block can have been measured */
Message waiting[4];     /* by session and block */
bool dated[2];          /* an echo tells of the session's clock ... */
short lead[2];          /* ... that it showed 0 at this local time, at the earliest */
bool goodbye;
byte slack[2];          /* how long the echo in force took, there and back */

/* scratch */
byte p, b, s, n, boot, age, m, at, sent, i;
short earliest;

#define EXPIRES(b) (held[b].any -> held_measured[b] + LIMIT(b) : NEVER)
#define LOCAL(p, boot) (lead[p] + boot)
#define IS_NEWER(x) (!x.any || boot > x.boot || (boot == x.boot && n > x.seq))

inline put(x) {
    x.any = 1; x.session = p; x.seq = n; x.boot = boot; x.age = age; x.measured = m; x.published = at
}
inline get(x) {
    p = x.session; n = x.seq; boot = x.boot; age = x.age; m = x.measured; at = x.published
}
inline clear(x) {
    x.any = 0; x.session = 0; x.seq = 0; x.boot = 0; x.age = 0; x.measured = 0; x.published = 0
}

/* Contract: a block's moment is dated by the echo of its own session. */
inline hold() {
    assert(!held[b].any || held[b].session != p || m >= held[b].measured);     /* a value never goes back */
    put(held[b]);
    held_measured[b] = LOCAL(p, boot) - age;
    if
    :: held_measured[b] > node -> held_measured[b] = node
    :: else
    fi
}

inline drop_all() {
    clear(held[LIVE]); clear(held[ENERGY]); held_measured[LIVE] = 0; held_measured[ENERGY] = 0; served = NOBODY
}

/* Contract: one session is served. Another one takes over when the served one's vital data is stale or its publisher
 * said goodbye, and only with vital data that lasts longer. */
inline take_over() {
    if
    :: (s != served && dated[s] && waiting[2 * s + LIVE].any
        && LOCAL(s, waiting[2 * s + LIVE].boot) <= node
        && LOCAL(s, waiting[2 * s + LIVE].boot) - waiting[2 * s + LIVE].age + LIMIT(LIVE) > node
#ifndef NO_EXPIRY
        && (served == NOBODY || goodbye || node >= EXPIRES(LIVE))
#endif
        && (served == NOBODY
            || LOCAL(s, waiting[2 * s + LIVE].boot) - waiting[2 * s + LIVE].age + LIMIT(LIVE) > EXPIRES(LIVE))) ->
        /* promise: two publishers never take turns while the served one's data is good; an echo makes data seem older
         * than it is by its own way there and back, so its true age is told by the true time of its measuring */
        assert(served == NOBODY || goodbye || doubtful || now - held[LIVE].measured + slack[served] >= LIMIT(LIVE));
        drop_all(); served = s; goodbye = 0;
        b = LIVE;
        do
        :: b <= ENERGY ->
            if
            :: (waiting[2 * s + b].any && LOCAL(s, waiting[2 * s + b].boot) <= node) ->
                get(waiting[2 * s + b]); hold()
            :: else
            fi;
            clear(waiting[2 * s + b]); b++
        :: else -> break
        od
    :: else
    fi
}

/* Contract: a block that its session's clock dates after now disproves that clock. All that it dated goes. */
inline disown() {
    dated[p] = 0; lead[p] = 0; slack[p] = 0;
    i = 0;
    do
    :: i <= ENERGY ->
        if
        :: held[i].any ->
            waiting[2 * p + i].any = 1; waiting[2 * p + i].session = p; waiting[2 * p + i].seq = held[i].seq;
            waiting[2 * p + i].boot = held[i].boot; waiting[2 * p + i].age = held[i].age;
            waiting[2 * p + i].measured = held[i].measured; waiting[2 * p + i].published = held[i].published
        :: else
        fi;
        i++
    :: else -> break
    od;
    put(waiting[2 * p + b]);
    drop_all()
}


inline receive_block(replayed) {
    s = p;
    if
    :: at >= paused_at && pauses -> doubtful = (p == served -> 0 : doubtful)
    :: else
    fi;
    if
#ifdef NO_SESSION
    :: served != NOBODY && dated[p] && (held[b].session != p || IS_NEWER(held[b])) -> hold()
    :: served != NOBODY && !(dated[p] && (held[b].session != p || IS_NEWER(held[b])))
#else
    :: p == served ->
        if
#ifndef NO_SEQUENCE
        :: !IS_NEWER(held[b])
#endif
#ifdef REPLAY_ACCEPTED
        :: replayed -> goodbye = 0; put(held[b]); held_measured[b] = node
#endif
        :: else ->
            if
#ifndef CLOCK_KEPT
            :: LOCAL(p, boot) > node -> disown()
#endif
            :: else -> goodbye = 0; hold()
            fi
        fi
#endif
    :: else ->
        if
        :: IS_NEWER(waiting[2 * p + b]) -> put(waiting[2 * p + b]); take_over()
        :: else
        fi
    fi
}

/* Contract: the clock showed `boot` at some moment from ping sent to pong received; the earliest counts. The tightest
 * echo counts; one that contradicts it means that a clock has stood still, and all before is forgotten. */
inline receive_pong() {
    s = p;
    earliest = sent - boot;
#ifdef PONG_BY_ARRIVAL
    earliest = node - boot;
#endif
    if
    :: at >= paused_at && pauses -> doubtful = (p == served -> 0 : doubtful)
    :: else
    fi;
    if
    :: dated[p] && LOCAL(p, boot) <= node && lead[p] >= earliest
    :: else -> lead[p] = earliest; dated[p] = 1; slack[p] = node - sent
    fi;
    if
    :: p == served ->
        b = LIVE;
        do
        :: b <= ENERGY ->
            if
            :: held[b].any && LOCAL(p, held[b].boot) > node -> clear(held[b]); held_measured[b] = 0
            :: held[b].any && LOCAL(p, held[b].boot) <= node -> get(held[b]); hold()
            :: else
            fi;
            b++
        :: else -> break
        od
    :: else -> take_over()
    fi
}

inline publish(wire) {
    b = LIVE;
    do
    :: b == LIVE -> b = ENERGY
    :: break
    od;
    age = 0;
    if
    :: now > 0 && now - 1 >= newest[2 * p + b] -> age = 1
    :: skip
    fi;
    seq[p]++; n = seq[p]; boot = now + offset[p]; m = now - age; at = now;
    newest[2 * p + b] = m;
    wire!b, n, boot, age, m, at;
    put(retained[b]);
    if
    :: put(older); older.any = b + 1
    :: skip
    fi
}

inline deliver(wire) {
    wire?b, n, boot, age, m, at;
    if
    /* A pause that is shorter than a message's way hides in it: nothing on the node can see that. */
    :: pauses && at >= paused_at && now - at >= PAUSE
    :: pauses && at < paused_at && b == PONG
    :: else ->
        if
        :: b == PONG -> sent = n; receive_pong()
        :: else -> receive_block(0)
        fi
    fi
}

inline forget() { p = 0; b = 0; s = 0; n = 0; boot = 0; age = 0; m = 0; at = 0; sent = 0; i = 0; earliest = 0 }

/* Promise 1: no answer holds a value over its limit. Promise 2: no answer holds blocks of two sessions.
 * What an answer holds: vital data that has not expired, alone or with a block beside it. */
inline judge() {
    if
    :: node < EXPIRES(LIVE) && !doubtful ->
        assert(now - held[LIVE].measured <= LIMIT(LIVE));
        assert(held[LIVE].session == served);
        if
        :: node < EXPIRES(ENERGY) ->
            assert(now - held[ENERGY].measured <= LIMIT(ENERGY));
            assert(held[ENERGY].session == held[LIVE].session)
        :: else
        fi
    :: else
    fi
}

active proctype world() {
    offset[0] = 1; offset[1] = 3;
    do
    :: atomic { now < LAST -> now++; judge() }
    :: atomic { !pauses && now + PAUSE <= LAST ->
        pauses = 1; now = now + PAUSE; lost = PAUSE; paused_at = now; doubtful = 1 }
    :: atomic { seq[0] < MESSAGES && nfull(wire0) -> p = 0; publish(wire0); forget() }
    :: atomic { seq[1] < MESSAGES && nfull(wire1) -> p = 1; publish(wire1); forget() }
    :: atomic { pings < PINGS && !ping_sent[0] -> pings++; ping_sent[0] = node + 1 }
    :: atomic { pings < PINGS && !ping_sent[1] -> pings++; ping_sent[1] = node + 1 }
    :: atomic { ping_sent[0] && nfull(wire0) ->
        wire0!PONG, ping_sent[0] - 1, now + offset[0], 0, 0, now; ping_sent[0] = 0 }
    :: atomic { ping_sent[1] && nfull(wire1) ->
        wire1!PONG, ping_sent[1] - 1, now + offset[1], 0, 0, now; ping_sent[1] = 0 }
    :: atomic { nempty(wire0) -> p = 0; deliver(wire0); forget(); judge() }
    :: atomic { nempty(wire1) -> p = 1; deliver(wire1); forget(); judge() }
    :: atomic { retained[LIVE].any && !(pauses && now - retained[LIVE].published >= PAUSE && retained[LIVE].published >= paused_at) ->
        get(retained[LIVE]); b = LIVE; receive_block(1); forget(); judge() }
    :: atomic { retained[ENERGY].any && !(pauses && now - retained[ENERGY].published >= PAUSE && retained[ENERGY].published >= paused_at) ->
        get(retained[ENERGY]); b = ENERGY; receive_block(1); forget(); judge() }
    :: atomic { older.any && !(pauses && now - older.published >= PAUSE && older.published >= paused_at) ->
        get(older); b = older.any - 1; receive_block(1); forget(); judge() }
    :: atomic { !goodbye -> goodbye = 1 }
    od
}
