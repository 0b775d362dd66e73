// What the kernel asks for its services, measured independently: one figure a line, "name ns". For
// what the core does on its own the lower quartile of many short samples, as on a shared machine a
// neighbour on the same core is at work in some of them; else the median. Usage: os
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static long faults(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

static void need(int right, const char *what) {
    if (!right) {
        perror(what);
        exit(1);
    }
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum { MOST = 199, CACHED = 64, PAGES = 4096, PAGE = 4096 };

// `ops` operations a sample; `before` is not timed.
static void measure(const char *name, void (*before)(void), long (*work)(long), long ops,
                    int count, double quantile) {
    double samples[MOST];
    // The first ones find everything cold.
    for (int i = 0; i < 8; i++) {
        if (before) before();
        work(ops);
    }
    for (int i = 0; i < count; i++) {
        if (before) before();
        double start = now();
        long done = work(ops);
        samples[i] = (now() - start) / done;
    }
    qsort(samples, count, sizeof *samples, by_size);
    printf("%s %.1f\n", name, samples[(int)(count * quantile)]);
}

static long syscalls(long ops) {
    for (long i = 0; i < ops; i++) syscall(SYS_getppid);
    return ops;
}

static char *memory;

static void give_back(void) {
    need(madvise(memory, PAGES * PAGE, MADV_DONTNEED) == 0, "madvise");
}

static long touch(long ops) {
    long before = faults();
    for (long i = 0; i < ops; i++) *(volatile char *)(memory + i * PAGE) = 1;
    return faults() - before;
}

static long maps(long ops) {
    for (long i = 0; i < ops; i++) {
        void *map = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        need(map != MAP_FAILED && munmap(map, PAGE) == 0, "mmap");
    }
    return ops;
}

static volatile long seen;

static void handler(int number) {
    (void)number;
    seen++;
}

static long signals(long ops) {
    long before = seen;
    for (long i = 0; i < ops; i++) syscall(SYS_tgkill, getpid(), gettid(), SIGUSR2);
    return seen - before;
}

static void *nothing(void *argument) { return argument; }

static long threads(long ops) {
    for (long i = 0; i < ops; i++) {
        pthread_t thread;
        need(pthread_create(&thread, 0, nothing, 0) == 0, "pthread_create");
        pthread_join(thread, 0);
    }
    return ops;
}

static long forks(long ops) {
    for (long i = 0; i < ops; i++) {
        pid_t child = fork();
        if (child == 0) _exit(0);
        int status;
        need(child > 0 && waitpid(child, &status, 0) == child && status == 0, "fork");
    }
    return ops;
}

static long spawns(long ops) {
    char *arguments[] = {"small", 0}, *environment[] = {0};
    for (long i = 0; i < ops; i++) {
        pid_t child;
        int status, error = posix_spawn(&child, getenv("SMALL"), 0, 0, arguments, environment);
        need(error == 0 && waitpid(child, &status, 0) == child && status == 0, "posix_spawn");
    }
    return ops;
}

static void timers(const char *name) {
    double samples[41];
    for (int i = 0; i < 41; i++) {
        struct timespec t = {0, 100000};
        double start = now();
        need(clock_nanosleep(CLOCK_MONOTONIC, 0, &t, 0) == 0, "clock_nanosleep");
        samples[i] = now() - start - 100000;
    }
    qsort(samples, 41, sizeof *samples, by_size);
    printf("%s %.1f\n", name, samples[20]);
}

int main(void) {
    memory = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(memory != MAP_FAILED, "mmap");
    madvise(memory, PAGES * PAGE, MADV_NOHUGEPAGE);
    signal(SIGUSR2, handler);
    measure("syscall", 0, syscalls, 2000, MOST, 0.25);
    measure("page_fault_4k", give_back, touch, CACHED, MOST, 0.25);
    measure("page_fault_4k_uncached", give_back, touch, PAGES, 27, 0.25);
    measure("mmap", 0, maps, 60, MOST, 0.25);
    measure("signal", 0, signals, 100, MOST, 0.25);
    measure("thread_create", 0, threads, 20, 21, 0.5);
    measure("fork", 0, forks, 4, 21, 0.5);
    measure("spawn", 0, spawns, 4, 21, 0.5);
    timers("timer_lateness");
    return 0;
}
