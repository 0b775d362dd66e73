/* An independent witness of what memory is filled with: how fast it is written, by content, by what
 * was there before and by the way of writing. Shares no code and no language with the probes.
 * Usage: fill [MIB [REPEATS [THREADS]]]; prints `THREADS WAY CONTENT OVER GB/s`, the median of the
 * repeats, which take turns. Bytes are those that are written.
 * Build: cc -O2 -pthread -o fill fill.c */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#if defined(__x86_64__)
#include <emmintrin.h>
#endif

enum { LINE = 64, MOST_THREADS = 1024, MOST_REPEATS = 99 };
enum way { STORE, PAST_CACHES, COPY, MEMSET, FAULT, WAYS };
enum content { ZEROS, ONES, BYTE, PATTERN, UNTOUCHED, CONTENTS };
enum over { SAME, OTHER, OVERS };
static const char *const ways[] = {"store", "store_nt", "copy", "memset", "fault"};
static const char *const contents[] = {"zeros", "ones", "byte", "pattern", "zero_page"};
static const char *const overs[] = {"same", "other"};

typedef uint64_t quarter __attribute__((vector_size(16)));

/* A line of the content is four of these; the pattern differs from line to line. */
static quarter first_of(enum content c) {
    uint64_t w = c == ONES ? ~0ull : c == BYTE ? 0x5a5a5a5a5a5a5a5aull
               : c == PATTERN ? 0x9e3779b97f4a7c15ull : 0;
    return (quarter){w, c == PATTERN ? w * 3 : w};
}

static quarter step_of(enum content c) {
    uint64_t w = c == PATTERN ? 0xd1b54a32d192ed03ull : 0;
    return (quarter){w, w};
}

/* The same instructions whatever the content. */
static void store(char *to, size_t bytes, enum content c) {
    quarter value = first_of(c), step = step_of(c);
    for (char *end = to + bytes; to < end; to += LINE, value += step) {
        quarter *line = (quarter *)to;
        line[0] = value, line[1] = value, line[2] = value, line[3] = value;
        __asm__ volatile("" ::: "memory");
    }
}

static void store_past_caches(char *to, size_t bytes, enum content c) {
    quarter value = first_of(c), step = step_of(c);
    for (char *end = to + bytes; to < end; to += LINE, value += step) {
#if defined(__x86_64__)
        for (int i = 0; i < 4; i++) _mm_stream_si128((__m128i *)to + i, (__m128i)value);
#else
        __asm__ volatile("stnp %q0, %q0, [%1]\n\tstnp %q0, %q0, [%1, #32]"
                         : : "w"(value), "r"(to) : "memory");
#endif
    }
#if defined(__x86_64__)
    _mm_sfence();
#else
    __asm__ volatile("dmb ishst" ::: "memory");
#endif
}

static size_t bytes;
static int threads;
static enum way way;
static enum content content;
static enum over over;
static pthread_barrier_t barrier;
static double began[MOST_THREADS], ended[MOST_THREADS];
static volatile int over_and_out;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static char *map(void) {
    size_t huge = 2u << 20;
    char *at = mmap(0, bytes + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) perror("fill: mmap"), exit(1);
    at = (char *)(((uintptr_t)at + huge - 1) & ~(uintptr_t)(huge - 1));
    madvise(at, bytes, MADV_HUGEPAGE);
    return at;
}

static void write_once(char *to, const char *from) {
    switch (way) {
    case STORE: store(to, bytes, content); break;
    case PAST_CACHES: store_past_caches(to, bytes, content); break;
    case COPY: memcpy(to, from, bytes); break;
    case MEMSET: memset(to, content == ZEROS ? 0 : content == ONES ? 0xff : 0x5a, bytes); break;
    default: for (size_t i = 0; i < bytes; i += 4096) *(volatile char *)(to + i) = 0;
    }
}

static void *work(void *arg) {
    int self = (int)(intptr_t)arg;
    char *to = map(), *from = map(), *untouched = map();
    memset(to, 1, bytes);
    store(from, bytes, PATTERN);
    for (enum content held = PATTERN;;) {
        pthread_barrier_wait(&barrier);
        if (over_and_out) return 0;
        /* Not timed: what is read, and what is written over. */
        if (way == COPY && content != UNTOUCHED && held != content)
            store(from, bytes, held = content);
        if (way == FAULT) madvise(to, bytes, MADV_DONTNEED);
        else store(to, bytes, over == SAME ? content : content == PATTERN ? ONES : PATTERN);
        pthread_barrier_wait(&barrier);
        began[self] = now();
        write_once(to, content == UNTOUCHED ? untouched : from);
        ended[self] = now();
        pthread_barrier_wait(&barrier);
    }
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double once(void) {
    for (int i = 0; i < 3; i++) pthread_barrier_wait(&barrier);
    double first = began[0], last = ended[0];
    for (int i = 1; i < threads; i++) {
        if (began[i] < first) first = began[i];
        if (ended[i] > last) last = ended[i];
    }
    return (double)bytes * threads / (last - first);
}

/* What there is no such way of, or no sense in. */
static int is_void(enum way w, enum content c, enum over o) {
    return (w == MEMSET && c >= PATTERN) || (c == UNTOUCHED && w != COPY) ||
           (w == FAULT && (c != ZEROS || o != SAME));
}

int main(int argc, char **argv) {
    bytes = (argc > 1 ? strtoull(argv[1], 0, 10) : 512) << 20;
    int repeats = argc > 2 ? atoi(argv[2]) : 5;
    threads = argc > 3 ? atoi(argv[3]) : 1;
    if (!bytes || repeats < 1 || repeats > MOST_REPEATS || threads < 1 || threads > MOST_THREADS)
        return fputs("usage: fill [MIB [REPEATS [THREADS]]]\n", stderr), 2;
    pthread_barrier_init(&barrier, 0, threads + 1);
    pthread_t team[MOST_THREADS];
    for (int i = 0; i < threads; i++)
        if (pthread_create(&team[i], 0, work, (void *)(intptr_t)i)) return perror("fill: thread"), 1;
    static double rates[WAYS][CONTENTS][OVERS][MOST_REPEATS];
    for (int r = 0; r < repeats; r++)
        for (way = 0; way < WAYS; way++)
            for (content = 0; content < CONTENTS; content++)
                for (over = 0; over < OVERS; over++)
                    if (!is_void(way, content, over)) {
                        /* What the way before left in the caches is not of this one's making: the
                         * first stores past them took three times as long here. */
                        once();
                        rates[way][content][over][r] = once();
                    }
    for (way = 0; way < WAYS; way++)
        for (content = 0; content < CONTENTS; content++)
            for (over = 0; over < OVERS; over++) {
                if (is_void(way, content, over)) continue;
                double *all = rates[way][content][over];
                qsort(all, repeats, sizeof *all, by_value);
                printf("%d %s %s %s %.2f\n", threads, ways[way], contents[content], overs[over],
                       all[repeats / 2]);
            }
    over_and_out = 1;
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < threads; i++) pthread_join(team[i], 0);
    return 0;
}
