/* An independent witness for context switches: two tasks of one CPU wake each other.
 * Usage: switch futex|pipe thread|process ROUND_TRIPS
 * Prints ns per round trip and the voluntary and involuntary switches of both tasks per round trip.
 * Run it under taskset, so that both tasks are on the same CPU. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct {
	_Atomic unsigned turn;
	_Atomic long switches;
} *common;
static int to_child[2], to_parent[2];
static long trips;
static int by_pipe, threads;

static void count(void)
{
	struct rusage u;
	getrusage(RUSAGE_THREAD, &u);
	atomic_fetch_add(&common->switches, u.ru_nvcsw + u.ru_nivcsw);
}

/* Waits until it is the turn of `me`, then hands it on. */
static void take(unsigned me)
{
	int private = threads ? FUTEX_PRIVATE_FLAG : 0;
	while (atomic_load(&common->turn) != me)
		syscall(SYS_futex, &common->turn, FUTEX_WAIT | private, !me, NULL, NULL, 0);
}

static void give(unsigned to)
{
	int private = threads ? FUTEX_PRIVATE_FLAG : 0;
	atomic_store(&common->turn, to);
	syscall(SYS_futex, &common->turn, FUTEX_WAKE | private, 1, NULL, NULL, 0);
}

static void *child(void *unused)
{
	int m;
	for (long i = 0; i < trips; i++) {
		if (by_pipe) {
			if (read(to_child[0], &m, sizeof m) != sizeof m || write(to_parent[1], &m, sizeof m) != sizeof m)
				abort();
		} else {
			take(1);
			give(0);
		}
	}
	count();
	return unused;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	by_pipe = !strcmp(argv[1], "pipe");
	threads = !strcmp(argv[2], "thread");
	trips = atol(argv[3]);
	common = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (common == MAP_FAILED || pipe(to_child) || pipe(to_parent))
		return 1;
	pthread_t thread;
	pid_t pid = 0;
	if (threads) {
		if (pthread_create(&thread, NULL, child, NULL))
			return 1;
	} else if ((pid = fork()) == 0) {
		child(NULL);
		_exit(0);
	} else if (pid < 0) {
		return 1;
	}
	struct timespec a, b;
	int m = 7;
	usleep(1000);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (long i = 0; i < trips; i++) {
		if (by_pipe) {
			if (write(to_child[1], &m, sizeof m) != sizeof m || read(to_parent[0], &m, sizeof m) != sizeof m)
				abort();
		} else {
			give(1);
			take(0);
		}
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	count();
	if (threads)
		pthread_join(thread, NULL);
	else
		waitpid(pid, NULL, 0);
	double ns = (b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec);
	printf("%.1f %.3f\n", ns / trips, (double)atomic_load(&common->switches) / trips);
	return 0;
}
