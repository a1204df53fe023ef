/*
 * Makes every fsync and fdatasync of a program take BENCH_FSYNC_US microseconds longer, as on a slower disk.
 * Built and loaded by slow_fsync.ts (LD_PRELOAD).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int delayed(const char *name, int descriptor)
{
    int (*real)(int) = (int (*)(int)) dlsym(RTLD_NEXT, name);
    int result = real(descriptor);
    const char *microseconds = getenv("BENCH_FSYNC_US");
    if (microseconds != NULL) {
        usleep((useconds_t) atoi(microseconds));
    }
    return result;
}

int fsync(int descriptor)
{
    return delayed("fsync", descriptor);
}

int fdatasync(int descriptor)
{
    return delayed("fdatasync", descriptor);
}
