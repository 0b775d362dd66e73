/* Round trips within this machine, without a line of ours: two processes exchange one byte over TCP
 * on 127.0.0.1, over a Unix socket pair, or connect and accept. Prints the median in ns.
 * Usage: net tcp|unix|connect CPU OTHER_CPU BYTES MILLISECONDS */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set)) err(1, "pin");
}

static int listener(struct sockaddr_in *at) {
    socklen_t len = sizeof *at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(at, 0, sizeof *at);
    at->sin_family = AF_INET;
    at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)at, len) || listen(fd, 64)) err(1, "listen");
    getsockname(fd, (struct sockaddr *)at, &len);
    return fd;
}

static void all(ssize_t (*move)(int, char *, size_t), int fd, char *buf, size_t n) {
    while (n > 0) {
        ssize_t k = move(fd, buf, n);
        if (k <= 0) _exit(0);
        buf += k, n -= (size_t)k;
    }
}

static ssize_t get(int fd, char *buf, size_t n) { return read(fd, buf, n); }
static ssize_t put(int fd, char *buf, size_t n) { return write(fd, buf, n); }

static int less(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 6) errx(1, "net tcp|unix|connect CPU OTHER_CPU BYTES MILLISECONDS");
    int cpu = atoi(argv[2]), other = atoi(argv[3]), one = 1, ends[2];
    size_t bytes = strtoul(argv[4], 0, 10), n = 0, most = 1 << 20;
    double until = now() + atof(argv[5]) * 1e6, *times = malloc(most * sizeof *times);
    char *buf = calloc(1, bytes + 1);
    struct sockaddr_in at;
    pin(cpu);
    if (!strcmp(argv[1], "connect")) {
        int on = listener(&at);
        struct linger gone = {1, 0};
        while (now() < until && n < most) {
            int fd = socket(AF_INET, SOCK_STREAM, 0);
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &gone, sizeof gone);
            double start = now();
            if (connect(fd, (struct sockaddr *)&at, sizeof at)) err(1, "connect");
            times[n++] = now() - start;
            close(accept(on, 0, 0));
            close(fd);
        }
    } else {
        if (!strcmp(argv[1], "tcp")) {
            int on = listener(&at);
            ends[0] = socket(AF_INET, SOCK_STREAM, 0);
            if (connect(ends[0], (struct sockaddr *)&at, sizeof at)) err(1, "connect");
            ends[1] = accept(on, 0, 0);
            for (int i = 0; i < 2; i++)
                setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            close(on);
        } else if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) {
            err(1, "socketpair");
        }
        pid_t child = fork();
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            close(ends[0]);
            pin(other);
            for (;;) {
                all(get, ends[1], buf, bytes);
                all(put, ends[1], buf, 1);
            }
        }
        close(ends[1]);
        while (now() < until && n < most) {
            double start = now();
            all(put, ends[0], buf, bytes);
            all(get, ends[0], buf, 1);
            times[n++] = now() - start;
        }
        kill(child, SIGKILL);
    }
    if (n == 0) errx(1, "no time");
    qsort(times, n, sizeof *times, less);
    printf("%.0f\n", times[n / 2]);
}
