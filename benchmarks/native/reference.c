/* The bare references: a C loop on the port that answers every read of unit 1 with constant registers.
 *
 *     reference PORT at-once|t3.5
 *
 * `at-once` answers as soon as 8 bytes with a good CRC are there, which the specification forbids: what is left is the
 * machine's and the bench's own time. `t3.5` keeps the silence: the best that may be had.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static uint16_t table[256];

static uint16_t crc16(const uint8_t *data, int length) {
    uint16_t crc = 0xFFFF;
    while (length--) crc = (crc >> 8) ^ table[(crc ^ *data++) & 255];
    return crc;
}

static void answer(int port, const uint8_t *request) {
    uint8_t reply[256] = {request[0], 3};
    int count = request[4] << 8 | request[5];
    if (count < 1 || count > 125) return;
    reply[2] = 2 * count;
    for (int index = 0; index < count; index++) reply[4 + 2 * index] = index;
    uint16_t crc = crc16(reply, 3 + 2 * count);
    reply[3 + 2 * count] = crc & 255;
    reply[4 + 2 * count] = crc >> 8;
    if (write(port, reply, 5 + 2 * count) < 0) _exit(1);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    int at_once = !strcmp(argv[2], "at-once");
    const struct timespec t35 = {0, 1750000};
    struct termios raw;
    int port = open(argv[1], O_RDWR | O_NOCTTY);
    if (port < 0 || tcgetattr(port, &raw)) return 1;
    cfmakeraw(&raw);
    cfsetspeed(&raw, B38400);
    raw.c_cflag |= CSTOPB | CLOCAL | CREAD;
    tcsetattr(port, TCSANOW, &raw);
    prctl(PR_SET_TIMERSLACK, 1);
    for (int value = 0; value < 256; value++) {
        uint16_t crc = value;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xA001 : crc >> 1;
        table[value] = crc;
    }
    uint8_t received[512];
    int length = 0;
    for (;;) {
        struct pollfd one = {port, POLLIN, 0};
        int more = ppoll(&one, 1, length && !at_once ? &t35 : NULL, NULL);
        if (more > 0) {
            int got = read(port, received + length, sizeof received - length);
            if (got <= 0) return 1;
            length += got;
            if (length == sizeof received) length = 0;
        }
        if (more > 0 && !at_once) continue;
        if (length == 8 && received[0] == 1 && received[1] == 3 && !crc16(received, 8)) answer(port, received);
        if (!at_once || length >= 8) length = 0;
    }
}
