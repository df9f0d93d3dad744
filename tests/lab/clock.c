/*
 * A clock of its own for each host: containers share the machine's, so every process of a host loads this library
 * (/etc/ld.so.preload) and sees CLOCK_REALTIME shifted by what stands in /etc/lab-clock: two 64-bit integers, seconds and
 * nanoseconds. The file is mapped, so a shift is seen at once by all processes, and no system call is made after the
 * start that a sandbox such as sshd's could refuse.
 *
 * Times that the kernel is asked to wake up at are shifted back. Not covered: the times of files, programs that are
 * linked statically, and pthread_cond_timedwait on CLOCK_REALTIME.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NANO 1000000000L
#define MOST_TIMERS 4096

static volatile int64_t no_shift[2];
static volatile int64_t *shift = no_shift;
static unsigned char timer_is_real[MOST_TIMERS];

static int (*real_gettime)(clockid_t, struct timespec *);
static int (*real_nanosleep)(clockid_t, int, const struct timespec *, struct timespec *);
static int (*real_timer_create)(int, int);
static int (*real_timer_settime)(int, int, const struct itimerspec *, struct itimerspec *);
static int (*real_sem_timedwait)(sem_t *, const struct timespec *);
static int (*real_mutex_timedlock)(pthread_mutex_t *, const struct timespec *);

/* Constructors of other libraries may ask for the time before ours ran. */
static void look_up(void)
{
    if (real_mutex_timedlock)
        return;
    real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    real_nanosleep = dlsym(RTLD_NEXT, "clock_nanosleep");
    real_timer_create = dlsym(RTLD_NEXT, "timerfd_create");
    real_timer_settime = dlsym(RTLD_NEXT, "timerfd_settime");
    real_sem_timedwait = dlsym(RTLD_NEXT, "sem_timedwait");
    real_mutex_timedlock = dlsym(RTLD_NEXT, "pthread_mutex_timedlock");
}

__attribute__((constructor)) static void start(void)
{
    look_up();
    int file = open("/etc/lab-clock", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    void *mapped = mmap(NULL, 2 * sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED)
        shift = mapped;
}

static int is_real(clockid_t clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_REALTIME_ALARM;
}

static struct timespec shifted(struct timespec t, int direction)
{
    t.tv_sec += direction * shift[0];
    t.tv_nsec += direction * shift[1];
    if (t.tv_nsec >= NANO) {
        t.tv_nsec -= NANO;
        t.tv_sec++;
    } else if (t.tv_nsec < 0) {
        t.tv_nsec += NANO;
        t.tv_sec--;
    }
    return t;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    look_up();
    int result = real_gettime(clock, t);
    if (result == 0 && is_real(clock))
        *t = shifted(*t, 1);
    return result;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *t)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t)
        *t = now.tv_sec;
    return now.tv_sec;
}

int timespec_get(struct timespec *t, int base)
{
    clock_gettime(CLOCK_REALTIME, t);
    return base;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *rest)
{
    look_up();
    struct timespec true_time = *until;
    if (is_real(clock) && (flags & TIMER_ABSTIME))
        true_time = shifted(*until, -1);
    return real_nanosleep(clock, flags, &true_time, rest);
}

int timerfd_create(int clock, int flags)
{
    look_up();
    int timer = real_timer_create(clock, flags);
    if (timer >= 0 && timer < MOST_TIMERS)
        timer_is_real[timer] = is_real(clock);
    return timer;
}

/* systemd sets a timer to the end of time to hear of clock changes: that one stays where it is. */
int timerfd_settime(int timer, int flags, const struct itimerspec *wanted, struct itimerspec *before)
{
    look_up();
    struct itimerspec set = *wanted;
    int armed = set.it_value.tv_sec || set.it_value.tv_nsec;
    int far = set.it_value.tv_sec >= (int64_t)1 << 40;
    if (timer >= 0 && timer < MOST_TIMERS && timer_is_real[timer] && (flags & TFD_TIMER_ABSTIME) && armed && !far) {
        set.it_value = shifted(set.it_value, -1);
        if (set.it_value.tv_sec < 0)
            set.it_value = (struct timespec){.tv_sec = 0, .tv_nsec = 1};
    }
    return real_timer_settime(timer, flags, &set, before);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until)
{
    look_up();
    struct timespec true_time = shifted(*until, -1);
    return real_sem_timedwait(semaphore, &true_time);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict until)
{
    look_up();
    struct timespec true_time = shifted(*until, -1);
    return real_mutex_timedlock(mutex, &true_time);
}
