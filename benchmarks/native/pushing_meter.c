/* A meter that pushes: each cycle's writes over one connection, each once the one before it is answered.
 *
 *     pushing_meter PORT CYCLES LOG PERIOD_MS WRITES
 *
 * PORT: the receiver's, on this host. CYCLES: Modbus TCP frames, WRITES of them a cycle, sent in turn for ever, their
 * transactions numbered anew. LOG: for each cycle the seconds for which its writes waited for their answers (doubles).
 *
 * A real meter has a processor of its own, so this runs under SCHED_FIFO where it may: it receives an answer when that is
 * there, and not when the receiver, which may have been woken on the same core, has done everything else.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define HEADER 7   /* transaction, protocol, length, unit */
#define ANSWER 12  /* the header, function, start, count */
#define LONGEST 260

static int connect_to(int port) {
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port)};
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    if (connection < 0 || connect(connection, (struct sockaddr *)&there, sizeof there)) return -1;
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return connection;
}

/* The next frame of the file, from its begin again behind the last one; its length, 0 where it is no such file. */
static int next_frame(FILE *cycles, uint8_t *frame) {
    if (fread(frame, 1, HEADER, cycles) != HEADER) {
        rewind(cycles);
        if (fread(frame, 1, HEADER, cycles) != HEADER) return 0;
    }
    int rest = (frame[4] << 8 | frame[5]) - 1;
    if (rest < 1 || HEADER + rest > LONGEST) return 0;
    return fread(frame + HEADER, 1, rest, cycles) == (size_t)rest ? HEADER + rest : 0;
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    FILE *cycles = fopen(argv[2], "rb"), *log = fopen(argv[3], "wb");
    double period = atof(argv[4]) / 1000;
    int writes = atoi(argv[5]);
    struct sched_param priority = {10};
    sched_setscheduler(0, SCHED_FIFO, &priority);
    prctl(PR_SET_TIMERSLACK, 1);
    int connection = connect_to(atoi(argv[1]));
    if (!cycles || !log || connection < 0) return 1;
    uint16_t transaction = 0;
    for (double turn = now();;) {
        double waited = 0;
        for (int index = 0; index < writes; index++) {
            uint8_t frame[LONGEST], answer[ANSWER];
            int length = next_frame(cycles, frame);
            if (!length) return 1;
            transaction++;
            frame[0] = transaction >> 8;
            frame[1] = transaction & 255;
            double sent = now();
            if (send(connection, frame, length, MSG_NOSIGNAL) != length) return 3;
            if (recv(connection, answer, ANSWER, MSG_WAITALL) != ANSWER) return 3;
            waited += now() - sent;
            if (memcmp(answer, frame, 2) || memcmp(answer + HEADER, frame + HEADER, ANSWER - HEADER)) return 4;
        }
        fwrite(&waited, sizeof waited, 1, log);
        fflush(log);
        for (turn += period; turn < now(); turn += period) {}
        sleep_until(turn);
    }
}
