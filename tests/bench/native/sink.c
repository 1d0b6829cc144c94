/* The least that a C-STORE SCP can do: read the PDUs, write the data sets, answer 0x0000.
 *
 * usage: sink PORT FOLDER SYNC    (SYNC 1: fsync each file before its answer)
 *
 * It checks nothing, records nothing and writes no file meta, so it is no receiver but
 * the limit of the machine for any receiver. Loopback only.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 20, COMMAND_BYTES = 4096, ANNOUNCED_BYTES = 1 << 18 };

static const char *folder;
static int syncs;
static atomic_long files;

struct peer {
    int fd, file;
    size_t from, to; /* what of `buffer` is not used yet */
    size_t n_command;
    uint8_t command[COMMAND_BYTES];
    uint8_t buffer[BUFFER_BYTES];
};

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put16(uint8_t *p, size_t v) { p[0] = (uint8_t)(v >> 8); p[1] = (uint8_t)v; }

static void put32(uint8_t *p, size_t v)
{
    put16(p, v >> 16 & 0xffff);
    put16(p + 2, v & 0xffff);
}

/* Have at least `n` bytes at hand; 0 when the peer is gone. */
static int have(struct peer *peer, size_t n)
{
    if (peer->from == peer->to)
        peer->from = peer->to = 0;
    if (peer->from + n > BUFFER_BYTES) {
        memmove(peer->buffer, peer->buffer + peer->from, peer->to - peer->from);
        peer->to -= peer->from;
        peer->from = 0;
    }
    while (peer->to - peer->from < n) {
        ssize_t got = recv(peer->fd, peer->buffer + peer->to, BUFFER_BYTES - peer->to, 0);
        if (got <= 0)
            return 0;
        peer->to += (size_t)got;
    }
    return 1;
}

static uint8_t *item(uint8_t *p, uint8_t type, const void *value, size_t n)
{
    p[0] = type;
    p[1] = 0;
    put16(p + 2, n);
    memcpy(p + 4, value, n);
    return p + 4 + n;
}

/* Accept every presentation context with its first transfer syntax (PS3.8 9.3.3). */
static void accept_all(struct peer *peer, const uint8_t *rq, size_t n)
{
    static _Thread_local uint8_t ac[65536];
    const uint8_t *x = rq + 68, *end = rq + n;
    uint8_t inner[256], announced[4], *p = ac + 74, *q;
    memset(ac, 0, 6);
    ac[0] = 2;
    memcpy(ac + 6, rq, 68);
    p = item(p, 0x10, "1.2.840.10008.3.1.1.1", 21);
    while (x + 4 <= end) {
        size_t length = (size_t)x[2] << 8 | x[3];
        const uint8_t *y = x + 8, *inner_end = x + 4 + length;
        while (x[0] == 0x20 && y + 4 <= inner_end) {
            size_t k = (size_t)y[2] << 8 | y[3];
            if (y[0] == 0x40 && k <= 64) {
                memset(inner, 0, 4);
                inner[0] = x[4];
                q = item(inner + 4, 0x40, y + 4, k);
                p = item(p, 0x21, inner, (size_t)(q - inner));
                break;
            }
            y += 4 + k;
        }
        x += 4 + length;
    }
    put32(announced, ANNOUNCED_BYTES);
    q = item(inner, 0x51, announced, sizeof announced);
    q = item(q, 0x52, "2.25.1000000000002", 18);
    p = item(p, 0x50, inner, (size_t)(q - inner));
    put32(ac + 2, (size_t)(p - ac - 6));
    send(peer->fd, ac, (size_t)(p - ac), MSG_NOSIGNAL);
}

static uint8_t *element(uint8_t *p, unsigned number, const uint8_t *value, size_t n)
{
    memset(p, 0, 8);
    p[2] = (uint8_t)number;
    p[3] = (uint8_t)(number >> 8);
    p[4] = (uint8_t)n;
    p[5] = (uint8_t)(n >> 8);
    memcpy(p + 8, value, n);
    return p + 8 + n;
}

/* C-STORE-RSP with Success, in one write (PS3.7 9.3.1.2). */
static void answer(struct peer *peer, uint8_t context)
{
    static const uint8_t rsp[2] = {0x01, 0x80}, none[2] = {0x01, 0x01}, success[2] = {0, 0};
    uint8_t out[512], group[4], *set = out + 12, *p = set + 12;
    const uint8_t *c = peer->command, *end = c + peer->n_command;
    p = element(p, 0x0100, rsp, 2);
    for (; c + 8 <= end; c += 8 + (c[4] | (size_t)c[5] << 8)) {
        unsigned number = c[2] | (unsigned)c[3] << 8;
        size_t n = c[4] | (size_t)c[5] << 8;
        if (number == 0x0110)
            p = element(p, 0x0120, c + 8, n);
        else if ((number == 0x0002 || number == 0x1000) && n <= 64)
            p = element(p, number, c + 8, n);
    }
    p = element(p, 0x0800, none, 2);
    p = element(p, 0x0900, success, 2);
    size_t length = (size_t)(p - set - 12);
    group[0] = (uint8_t)length;
    group[1] = (uint8_t)(length >> 8);
    group[2] = group[3] = 0;
    element(set, 0x0000, group, sizeof group);
    length = (size_t)(p - set);
    out[0] = 4;
    out[1] = 0;
    put32(out + 2, length + 6);
    put32(out + 6, length + 2);
    out[10] = context;
    out[11] = 3;
    send(peer->fd, out, (size_t)(p - out), MSG_NOSIGNAL);
    peer->n_command = 0;
}

static int take_command(struct peer *peer, size_t n)
{
    if (peer->n_command + n > COMMAND_BYTES || !have(peer, n))
        return 0;
    memcpy(peer->command + peer->n_command, peer->buffer + peer->from, n);
    peer->n_command += n;
    peer->from += n;
    return 1;
}

static int take_data(struct peer *peer, size_t n)
{
    char path[512];
    if (peer->file < 0) {
        snprintf(path, sizeof path, "%s/%ld", folder, atomic_fetch_add(&files, 1));
        peer->file = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0640);
    }
    while (n) {
        if (!have(peer, 1))
            return 0;
        size_t k = peer->to - peer->from < n ? peer->to - peer->from : n;
        ssize_t written = write(peer->file, peer->buffer + peer->from, k);
        if (written <= 0)
            return 0;
        peer->from += (size_t)written;
        n -= (size_t)written;
    }
    return 1;
}

static void keep(struct peer *peer)
{
    if (syncs)
        fsync(peer->file);
    close(peer->file);
    peer->file = -1;
}

/* The presentation data values of one P-DATA-TF (PS3.8 9.3.5). */
static int take_values(struct peer *peer, size_t left)
{
    while (left) {
        if (!have(peer, 6))
            return 0;
        const uint8_t *head = peer->buffer + peer->from;
        size_t length = get32(head);
        uint8_t context = head[4], control = head[5];
        peer->from += 6;
        if (length < 2 || length + 4 > left)
            return 0;
        left -= length + 4;
        if (!(control & 1 ? take_command(peer, length - 2) : take_data(peer, length - 2)))
            return 0;
        if (control == 2) {
            keep(peer);
            answer(peer, context);
        }
    }
    return 1;
}

static int serve_pdu(struct peer *peer)
{
    static const uint8_t released[10] = {6, 0, 0, 0, 0, 4};
    if (!have(peer, 6))
        return 0;
    uint8_t type = peer->buffer[peer->from];
    size_t length = get32(peer->buffer + peer->from + 2);
    peer->from += 6;
    if (type == 4)
        return take_values(peer, length);
    if (type == 5)
        send(peer->fd, released, sizeof released, MSG_NOSIGNAL);
    if (type != 1 || length > BUFFER_BYTES || !have(peer, length))
        return 0;
    accept_all(peer, peer->buffer + peer->from, length);
    peer->from += length;
    return 1;
}

static void *serve(void *given)
{
    struct peer *peer = given;
    int on = 1;
    setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    while (serve_pdu(peer))
        ;
    if (peer->file >= 0)
        close(peer->file);
    close(peer->fd);
    free(peer);
    return NULL;
}

int main(int argc, char **argv)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    if (argc != 4) {
        fprintf(stderr, "usage: sink PORT FOLDER SYNC\n");
        return 2;
    }
    at.sin_port = htons((uint16_t)atoi(argv[1]));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    folder = argv[2];
    syncs = atoi(argv[3]);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 256)) {
        perror("sink");
        return 2;
    }
    for (;;) {
        pthread_t thread;
        struct peer *peer = malloc(sizeof *peer);
        peer->fd = accept(listener, NULL, NULL);
        peer->file = -1;
        peer->from = peer->to = peer->n_command = 0;
        if (peer->fd < 0 || pthread_create(&thread, NULL, serve, peer)) {
            free(peer);
            continue;
        }
        pthread_detach(thread);
    }
}
