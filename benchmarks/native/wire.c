/* An RS485 line and the client on it, in one process: a pty whose bytes move at the line's true speed.
 *
 *     wire LINK LOG BAUDRATE        LINK: where the server under test finds its port; LOG: what happened, binary
 *
 * Commands on standard input, each answered with one line:
 *     run SECONDS PERIOD_MS FIRST-LAST ...   poll these ranges of unit 1 in turn; a new turn each PERIOD_MS (0: at once)
 *     until SECONDS FIRST-LAST               poll each 20 ms until data comes; answers with the time of its first byte
 *     unplug | plug                          the port goes, and comes back as a new one
 *
 * Each request's bytes are handed over at the end of their stop bits, one by one. An answer is taken when it was
 * written, which is when a UART would begin to send it; the line then stays busy for as long as its bytes take.
 * All times are CLOCK_BOOTTIME. Runs under SCHED_FIFO where it may, so that its own lateness stays small.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define TIMEOUT 0.150   /* seconds until an answer must have begun */
#define FRAME_GAP 0.00175
#define INNER_GAP 0.00075
#define UNIT 1

struct record {
    double begun;        /* the request's first byte */
    double requested;    /* the request's last byte was about to be handed over: its stop bit has ended */
    double answered;     /* the answer was seen; 0: none came */
    double handing;      /* seconds that handing over the last byte took */
    int32_t first, count, disturbed, length;
};

static const char *link_path;
static FILE *out;
static int master = -1, slave = -1;
static double character;

static int readable(double seconds) {
    struct pollfd one = {master, POLLIN, 0};
    if (seconds < 0) seconds = 0;
    struct timespec t = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
    return ppoll(&one, 1, &t, NULL) > 0 && one.revents & POLLIN;
}

static uint16_t crc16(const uint8_t *data, int length) {
    uint16_t crc = 0xFFFF;
    while (length--) {
        crc ^= *data++;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xA001 : crc >> 1;
    }
    return crc;
}

static void plug(void) {
    char name[128];
    struct termios raw;
    master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || grantpt(master) || unlockpt(master) || ptsname_r(master, name, sizeof name)) exit(3);
    /* Kept open: a pty without a server shall not end the line. */
    slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0 || tcgetattr(slave, &raw)) exit(3);
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    unlink(link_path);
    if (symlink(name, link_path)) exit(3);
}

static void unplug(void) {
    unlink(link_path);
    close(slave);
    close(master);
    master = slave = -1;
}

/* One request and its answer. Returns when the line is free again. */
static double transact(int first, int count, uint8_t *answer, struct record *seen) {
    uint8_t request[8] = {UNIT, 3, first >> 8, first & 255, count >> 8, count & 255};
    uint16_t crc = crc16(request, 6);
    request[6] = crc & 255;
    request[7] = crc >> 8;
    memset(seen, 0, sizeof *seen);
    seen->first = first;
    seen->count = count;
    while (readable(0) && read(master, answer, 512) > 0) {}
    double at = now(), previous = 0;
    seen->begun = at;
    for (int index = 0; index < 8; index++) {
        at += character;
        sleep_until(at);
        double moment = now();
        if (previous && moment - previous > character + INNER_GAP) seen->disturbed = 1;
        if (moment > at) at = moment; /* late: the next byte is late too, never early */
        previous = seen->requested = moment;
        if (write(master, request + index, 1) != 1) return now();
        seen->handing = now() - moment;
    }
    if (!readable(seen->requested + TIMEOUT - now())) return now();
    seen->answered = now();
    int expected = 5;
    for (double patience = 0.25; seen->length < expected && readable(patience);) {
        int got = read(master, answer + seen->length, 512 - seen->length);
        if (got <= 0) break;
        seen->length += got;
        if (seen->length >= 3) expected = answer[1] & 0x80 ? 5 : 5 + answer[2];
    }
    return seen->answered + seen->length * character;
}

static void poll_ranges(double seconds, double period, const int (*ranges)[2], int many) {
    uint8_t answer[512];
    struct record seen;
    double stop = now() + seconds, turn = now();
    while (now() < stop) {
        for (int index = 0; index < many && now() < stop; index++) {
            double free_at = transact(ranges[index][0], ranges[index][1], answer, &seen);
            fwrite(&seen, sizeof seen, 1, out);
            fwrite(answer, 1, seen.length, out);
            sleep_until(free_at + FRAME_GAP);
        }
        if (period > 0) {
            for (turn += period; turn < now(); turn += period) {}
            sleep_until(turn);
        }
    }
    fflush(out);
}

static double poll_until_data(double seconds, int first, int count) {
    uint8_t answer[512];
    struct record seen;
    double stop = now() + seconds;
    while (now() < stop) {
        double began = now();
        if (master >= 0) {
            transact(first, count, answer, &seen);
            if (seen.length == 5 + 2 * count && answer[1] == 3) return seen.answered;
        }
        sleep_until(began + 0.020);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    link_path = argv[1];
    out = fopen(argv[2], "wb");
    character = 11.0 / atof(argv[3]);
    struct sched_param priority = {10};
    int real_time = sched_setscheduler(0, SCHED_FIFO, &priority) == 0;
    prctl(PR_SET_TIMERSLACK, 1);
    plug();
    printf("ready %s\n", real_time ? "realtime" : "ordinary");
    fflush(stdout);
    char line[512];
    while (fgets(line, sizeof line, stdin)) {
        int ranges[32][2], many = 0, last;
        char *word = strtok(line, " \n"), *text;
        if (!word) continue;
        if (!strcmp(word, "unplug")) {
            unplug();
            printf("done\n");
        } else if (!strcmp(word, "plug")) {
            plug();
            printf("done %.6f\n", now());
        } else {
            int until = !strcmp(word, "until");
            double seconds = atof(strtok(NULL, " \n"));
            double period = until ? 0 : atof(strtok(NULL, " \n")) / 1000;
            while (many < 32 && (text = strtok(NULL, " \n")) && sscanf(text, "%d-%d", &ranges[many][0], &last) == 2) {
                ranges[many][1] = last - ranges[many][0] + 1;
                many++;
            }
            if (until) {
                printf("first %.6f\n", poll_until_data(seconds, ranges[0][0], ranges[0][1]));
            } else {
                poll_ranges(seconds, period, ranges, many);
                printf("done\n");
            }
        }
        fflush(stdout);
    }
    unplug();
    return 0;
}
