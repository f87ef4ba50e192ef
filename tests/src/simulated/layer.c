/*
 * A layer between a program and its clocks, put in front of libc by LD_PRELOAD.
 *
 * TIME_LAYER_FILE names a file of two numbers, mapped here: nanoseconds that have passed more than really have, for every
 * clock, and nanoseconds by which the wall clock is wrong besides. Whoever writes into the file lets time pass.
 *
 * Deadlines go the other way: a program asks the kernel to wake it at an instant of its own time, and the kernel is told
 * the instant of real time. What waits while time is made to pass is woken no sooner than it would have been; the program's
 * own timers are looked at whenever anything wakes it.
 *
 * Not seen: calls inside libc and the counter of the processor. A program that takes either for a clock sees real time.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NANOS 1000000000LL

struct shift {
    int64_t passed;
    int64_t wrong;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const volatile struct shift *shift;
static int (*real_gettime)(clockid_t, struct timespec *);
static int (*real_nanosleep)(clockid_t, int, const struct timespec *, struct timespec *);
static long (*real_syscall)(long, ...);

static void set_up(void) {
    real_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    real_nanosleep = (int (*)(clockid_t, int, const struct timespec *, struct timespec *))dlsym(RTLD_NEXT, "clock_nanosleep");
    real_syscall = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    const char *file = getenv("TIME_LAYER_FILE");
    if (!file) return;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) abort(); /* A test of time that does not pass would pass. */
    close(fd);
    shift = at;
}

/* How far this clock is ahead of the real one. */
static int64_t ahead(clockid_t clock) {
    pthread_once(&once, set_up);
    if (!shift) return 0;
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_TAI:
        return shift->passed + shift->wrong;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
        return shift->passed;
    default:
        return 0; /* time on processors */
    }
}

static void move(struct timespec *time, int64_t by) {
    int64_t nanos = time->tv_nsec + by % NANOS;
    time->tv_sec += by / NANOS;
    if (nanos < 0) nanos += NANOS, time->tv_sec--;
    if (nanos >= NANOS) nanos -= NANOS, time->tv_sec++;
    time->tv_nsec = nanos;
}

/* An instant of this clock as the kernel has it; one that never was has passed. */
static struct timespec real(const struct timespec *time, clockid_t clock) {
    struct timespec moved = *time;
    move(&moved, -ahead(clock));
    if (moved.tv_sec < 0) moved = (struct timespec){0, 0};
    return moved;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int64_t by = ahead(clock);
    int result = real_gettime(clock, time);
    if (!result) move(time, by);
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    if (!clock_gettime(CLOCK_REALTIME, &now)) *time = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out) {
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *left) {
    pthread_once(&once, set_up);
    if (!(flags & TIMER_ABSTIME)) return real_nanosleep(clock, flags, time, left);
    struct timespec deadline = real(time, clock);
    return real_nanosleep(clock, flags, &deadline, left);
}

/* Rust waits for locks and conditions by futex, with deadlines. */
long syscall(long number, ...) {
    pthread_once(&once, set_up);
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
    va_end(list);
    struct timespec deadline;
    if (number == SYS_futex && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET && a[3]) {
        deadline = real((const struct timespec *)a[3], a[1] & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC);
        a[3] = (long)&deadline;
    }
    return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
