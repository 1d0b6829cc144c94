/* A C-STORE SCU that costs the machine next to nothing, so that what is measured is
 * the receiver: one thread for each association, the data set sent straight from the
 * mapped file, its UIDs patched for every instance.
 *
 * One line of JSON on standard output: images, bytes, seconds, failures and the time
 * from the first byte of a request to its response (median and worst).
 *
 * Research and measurement only; loopback only.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    DIGITS = 12,             /* of the number in each UID, PS3.5 B.2 leaves them to us */
    HEADER_BYTES = 12,       /* of a PDU with one PDV, PS3.8 9.3.5 */
    RECEIVE_BYTES = 16384,   /* the maximum length that we announce, PS3.8 D.1 */
    LARGEST_SEND = 1 << 20,  /* where the peer sets no limit */
    UID_BYTES = 64,
    MOST_SENDERS = 256
};

struct order {
    const char *called, *calling, *sop_class, *syntax;
    int port, senders, one_each, study_each;
    long images;
    uint64_t first;          /* number of the first instance; studies count from it */
    size_t offsets[3];       /* of the digits: instance, study, series */
    size_t head;             /* bytes up to the pixel data, patched for each instance */
    const uint8_t *content;  /* the data set */
    size_t size;
};

struct share {
    const struct order *order;
    pthread_t thread;
    int number;
    long begin, end, failures;
    double *seconds;
};

static void fail(const char *what)
{
    fprintf(stderr, "sender: %s: %s\n", what, strerror(errno));
    exit(2);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void put16(uint8_t *p, unsigned v) { p[0] = (uint8_t)(v >> 8); p[1] = (uint8_t)v; }

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xffff);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void send_all(int fd, struct iovec *parts, int n)
{
    while (n) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)n};
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EINTR)
                continue;
            fail("the receiver closed the connection");
        }
        while (n && (size_t)sent >= parts->iov_len) {
            sent -= (ssize_t)parts->iov_len;
            parts++;
            n--;
        }
        if (n) {
            parts->iov_base = (uint8_t *)parts->iov_base + sent;
            parts->iov_len -= (size_t)sent;
        }
    }
}

static void send_bytes(int fd, uint8_t *bytes, size_t n)
{
    struct iovec part = {bytes, n};
    send_all(fd, &part, 1);
}

static void receive_bytes(int fd, uint8_t *bytes, size_t n)
{
    while (n) {
        ssize_t got = recv(fd, bytes, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            fail("the receiver closed the connection");
        bytes += got;
        n -= (size_t)got;
    }
}

/* One PDU; its type. `length` is that of what follows the six bytes of its head. */
static int receive_pdu(int fd, uint8_t *body, uint32_t *length)
{
    uint8_t head[6];
    receive_bytes(fd, head, sizeof head);
    *length = get32(head + 2);
    if (*length > RECEIVE_BYTES + HEADER_BYTES)
        fail("a PDU longer than we take");
    receive_bytes(fd, body, *length);
    return head[0];
}

/* An item of an A-ASSOCIATE PDU: type, reserved byte, length, value (PS3.8 9.3.2). */
static uint8_t *item(uint8_t *p, uint8_t type, const void *value, size_t n)
{
    p[0] = type;
    p[1] = 0;
    put16(p + 2, (unsigned)n);
    memcpy(p + 4, value, n);
    return p + 4 + n;
}

static uint8_t *text_item(uint8_t *p, uint8_t type, const char *text)
{
    return item(p, type, text, strlen(text));
}

static size_t associate_rq(const struct order *order, uint8_t *pdu)
{
    uint8_t inner[1024], length[4], *q;
    uint8_t *p = pdu + 6;
    put16(p, 1); /* protocol version */
    put16(p + 2, 0);
    memset(p + 4, ' ', 32);
    memcpy(p + 4, order->called, strlen(order->called));
    memcpy(p + 20, order->calling, strlen(order->calling));
    memset(p + 36, 0, 32);
    p = text_item(p + 68, 0x10, "1.2.840.10008.3.1.1.1");
    memset(inner, 0, 4);
    inner[0] = 1; /* presentation context ID */
    q = text_item(inner + 4, 0x30, order->sop_class);
    q = text_item(q, 0x40, order->syntax);
    p = item(p, 0x20, inner, (size_t)(q - inner));
    put32(length, RECEIVE_BYTES);
    q = item(inner, 0x51, length, sizeof length);
    q = text_item(q, 0x52, "2.25.1000000000001");
    q = text_item(q, 0x55, "BENCH");
    p = item(p, 0x50, inner, (size_t)(q - inner));
    pdu[0] = 1;
    pdu[1] = 0;
    put32(pdu + 2, (uint32_t)(p - pdu - 6));
    return (size_t)(p - pdu);
}

/* The maximum length that an A-ASSOCIATE-AC announces; ends when it took no context. */
static size_t largest_pdu(const uint8_t *body, uint32_t n)
{
    size_t largest = 0;
    const uint8_t *p = body + 68, *end = body + n;
    while (p + 4 <= end) {
        size_t length = (size_t)p[2] << 8 | p[3];
        if (p[0] == 0x21 && p[6] != 0)
            fail("the presentation context was rejected");
        if (p[0] == 0x50)
            for (const uint8_t *u = p + 4; u + 4 <= p + 4 + length;
                 u += 4 + ((size_t)u[2] << 8 | u[3]))
                if (u[0] == 0x51)
                    largest = get32(u + 4);
        p += 4 + length;
    }
    return largest && largest < LARGEST_SEND ? largest : LARGEST_SEND;
}

static int associate(const struct order *order, size_t *largest)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)order->port)};
    uint8_t pdu[4096], body[RECEIVE_BYTES + HEADER_BYTES];
    uint32_t length;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to))
        fail("cannot connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    send_bytes(fd, pdu, associate_rq(order, pdu));
    if (receive_pdu(fd, body, &length) != 2)
        fail("the association was refused");
    *largest = largest_pdu(body, length);
    return fd;
}

static void release(int fd)
{
    uint8_t rq[10] = {5, 0, 0, 0, 0, 4}, body[RECEIVE_BYTES + HEADER_BYTES];
    uint32_t length;
    send_bytes(fd, rq, sizeof rq);
    receive_pdu(fd, body, &length);
    close(fd);
}

/* An element of a command set: implicit VR little endian (PS3.7 6.3.1). */
static uint8_t *element(uint8_t *p, unsigned number, const void *value, size_t n)
{
    size_t even = n + (n & 1);
    memset(p, 0, 8 + even);
    p[2] = (uint8_t)number;
    p[3] = (uint8_t)(number >> 8);
    p[4] = (uint8_t)even;
    p[5] = (uint8_t)(even >> 8);
    memcpy(p + 8, value, n);
    return p + 8 + even;
}

static uint8_t *number_element(uint8_t *p, unsigned number, unsigned value)
{
    uint8_t v[2] = {(uint8_t)value, (uint8_t)(value >> 8)};
    return element(p, number, v, sizeof v);
}

/* P-DATA-TF with the C-STORE-RQ (PS3.7 9.3.1.1). */
static size_t command_pdu(const struct order *order, const char *uid, unsigned id, uint8_t *pdu)
{
    uint8_t *set = pdu + HEADER_BYTES, *p = set + 12, group[4];
    p = element(p, 0x0002, order->sop_class, strlen(order->sop_class));
    p = number_element(p, 0x0100, 0x0001);
    p = number_element(p, 0x0110, id);
    p = number_element(p, 0x0700, 0);
    p = number_element(p, 0x0800, 0x0001);
    p = element(p, 0x1000, uid, strlen(uid));
    uint32_t length = (uint32_t)(p - set - 12);
    group[0] = (uint8_t)length;
    group[1] = (uint8_t)(length >> 8);
    group[2] = group[3] = 0;
    element(set, 0x0000, group, sizeof group);
    length = (uint32_t)(p - set);
    pdu[0] = 4;
    pdu[1] = 0;
    put32(pdu + 2, length + 6);
    put32(pdu + 6, length + 2);
    pdu[10] = 1; /* presentation context ID */
    pdu[11] = 3; /* command, last fragment */
    return (size_t)(p - pdu);
}

static int status_of(const uint8_t *body, uint32_t n)
{
    const uint8_t *p = body + 6, *end = body + n;
    while (p + 10 <= end) {
        if (p[0] == 0 && p[1] == 0 && p[2] == 0 && p[3] == 0x09)
            return p[8] | p[9] << 8;
        p += 8 + (p[4] | (size_t)p[5] << 8);
    }
    return -1;
}

/* `head`: our copy of the start of the data set, patched. The DIMSE status. */
static int store(int fd, const struct order *order, size_t largest, uint8_t *head, unsigned id)
{
    uint8_t command[1024], pdv[HEADER_BYTES], body[RECEIVE_BYTES + HEADER_BYTES];
    char uid[UID_BYTES + 1] = "2.25.1";
    uint32_t length;
    size_t done = 0;
    memcpy(uid + 6, head + order->offsets[0], DIGITS);
    struct iovec parts[4] = {{command, command_pdu(order, uid, id, command)}};
    int n = 1;
    while (done < order->size) {
        size_t left = order->size - done, most = largest - 6, take = left < most ? left : most;
        pdv[0] = 4;
        pdv[1] = 0;
        put32(pdv + 2, (uint32_t)take + 6);
        put32(pdv + 6, (uint32_t)take + 2);
        pdv[10] = 1;
        pdv[11] = take == left ? 2 : 0; /* data set, last fragment or not */
        parts[n++] = (struct iovec){pdv, sizeof pdv};
        size_t of_head = done < order->head ? order->head - done : 0;
        if (of_head > take)
            of_head = take;
        if (of_head)
            parts[n++] = (struct iovec){head + done, of_head};
        if (take > of_head)
            parts[n++] = (struct iovec){(void *)(order->content + done + of_head), take - of_head};
        send_all(fd, parts, n);
        n = 0;
        done += take;
    }
    if (receive_pdu(fd, body, &length) != 4)
        fail("the association was aborted");
    return status_of(body, length);
}

static void patch(uint8_t *head, size_t offset, uint64_t number)
{
    char digits[DIGITS + 1];
    snprintf(digits, sizeof digits, "%0*llu", DIGITS, (unsigned long long)(number % 1000000000000ULL));
    memcpy(head + offset, digits, DIGITS);
}

static void *send_share(void *given)
{
    struct share *mine = given;
    const struct order *order = mine->order;
    uint8_t *head = malloc(order->head);
    size_t largest = 0;
    int fd = -1;
    memcpy(head, order->content, order->head);
    for (long i = mine->begin; i < mine->end; i++) {
        uint64_t study = order->first + (uint64_t)(order->study_each ? i : mine->number);
        double began = now();
        patch(head, order->offsets[0], order->first + (uint64_t)i);
        patch(head, order->offsets[1], study);
        patch(head, order->offsets[2], study);
        if (fd < 0)
            fd = associate(order, &largest);
        if (store(fd, order, largest, head, (unsigned)(i - mine->begin + 1) & 0x7fff))
            mine->failures++;
        if (order->one_each) {
            release(fd);
            fd = -1;
        }
        mine->seconds[i] = now() - began;
    }
    if (fd >= 0)
        release(fd);
    free(head);
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void map_content(struct order *order, const char *path)
{
    struct stat found;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &found))
        fail(path);
    order->size = (size_t)found.st_size;
    order->content = mmap(NULL, order->size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (order->content == MAP_FAILED)
        fail(path);
    close(fd);
}

int main(int argc, char **argv)
{
    static struct share shares[MOST_SENDERS];
    struct order order = {0};
    long failures = 0;
    if (argc != 16) {
        fprintf(stderr, "usage: sender PORT CALLED CALLING DATA-SET SOP-CLASS SYNTAX INSTANCE-AT "
                        "STUDY-AT SERIES-AT HEAD IMAGES SENDERS ONE-EACH STUDY-EACH FIRST\n");
        return 2;
    }
    order.port = atoi(argv[1]);
    order.called = argv[2];
    order.calling = argv[3];
    map_content(&order, argv[4]);
    order.sop_class = argv[5];
    order.syntax = argv[6];
    for (int i = 0; i < 3; i++)
        order.offsets[i] = strtoul(argv[7 + i], NULL, 10);
    order.head = strtoul(argv[10], NULL, 10);
    order.images = atol(argv[11]);
    order.senders = atoi(argv[12]);
    order.one_each = atoi(argv[13]);
    order.study_each = atoi(argv[14]);
    order.first = strtoull(argv[15], NULL, 10);
    if (order.senders < 1 || order.senders > MOST_SENDERS)
        fail("1 to 256 senders");
    double *seconds = calloc((size_t)order.images + 1, sizeof *seconds);
    double began = now();
    for (int k = 0; k < order.senders; k++) {
        shares[k].order = &order;
        shares[k].number = k;
        shares[k].begin = order.images * k / order.senders;
        shares[k].end = order.images * (k + 1) / order.senders;
        shares[k].seconds = seconds;
        if (pthread_create(&shares[k].thread, NULL, send_share, &shares[k]))
            fail("cannot start a thread");
    }
    for (int k = 0; k < order.senders; k++) {
        pthread_join(shares[k].thread, NULL);
        failures += shares[k].failures;
    }
    double took = now() - began;
    qsort(seconds, (size_t)order.images, sizeof *seconds, by_value);
    printf("{\"images\": %ld, \"bytes\": %zu, \"seconds\": %.6f, \"failures\": %ld, "
           "\"median_seconds\": %.6f, \"worst_seconds\": %.6f}\n",
           order.images, order.size * (size_t)order.images, took, failures,
           seconds[order.images / 2], seconds[order.images ? order.images - 1 : 0]);
    return 0;
}
