/* An independent witness of memory latency: a pointer chase that shares no code, no language and
 * no clock with the probes. Usage: chase BYTES [small|huge|gigantic]; prints ns per load, the lower
 * quartile of 16 repeats as ours is: neighbours only add time.
 * Build: cc -O2 -o chase chase.c */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { LINE = 64, LOADS = 1 << 19, REPEATS = 16 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    size_t bytes = argc > 1 ? strtoull(argv[1], 0, 10) : 128u << 20;
    int small = argc > 2 && !strcmp(argv[2], "small");
    size_t nodes = bytes / LINE;
    size_t page = argc > 2 && !strcmp(argv[2], "gigantic") ? 1u << 30 : 2u << 20;
    size_t whole = (bytes + page - 1) & ~(page - 1);
    char *memory;
    if (page == 1u << 30) {
        /* Of those that are reserved: 30 is the logarithm of the size. */
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 30 << 26;
        memory = mmap(0, whole, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (memory == MAP_FAILED) return perror("chase: pages of 1 GiB"), 1;
    } else {
        memory = aligned_alloc(page, whole);
    }
    if (!memory || nodes < 2) return fputs("chase: no memory, or too small a size\n", stderr), 1;
    if (page != 1u << 30) madvise(memory, bytes, small ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
    memset(memory, 1, bytes);

    /* Sattolo's shuffle of the successors themselves: one cycle over all nodes. */
    uint64_t seed = 88172645463325252ull;
    for (size_t i = 0; i < nodes; i++) *(size_t *)(memory + i * LINE) = i;
    for (size_t i = nodes - 1; i > 0; i--) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        size_t j = seed % i, *a = (size_t *)(memory + i * LINE), *b = (size_t *)(memory + j * LINE), t = *a;
        *a = *b, *b = t;
    }
    for (size_t i = 0; i < nodes; i++) {
        size_t *n = (size_t *)(memory + i * LINE);
        *n = (size_t)(memory + *n * LINE);
    }

    void **at = (void **)memory;
    double ns[REPEATS];
    for (int r = 0; r < REPEATS; r++) {
        double start = now();
        for (int i = 0; i < LOADS; i++) at = (void **)*at;
        ns[r] = (now() - start) / LOADS;
    }
    qsort(ns, REPEATS, sizeof *ns, by_value);
    printf("%.2f\n", ns[REPEATS / 4]);
    return at == 0;
}
