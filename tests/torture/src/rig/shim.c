/* Loaded into a member: makes its disk slow, full, stuck or broken, as a file says that the rig writes.
 *
 *   slow N    every sync takes N milliseconds longer
 *   full      every write finds no room
 *   fail      every sync fails
 *   hang      no sync comes back until the word is gone
 *
 * The file is named by TORTURE_DISK and read at each call, so that a fault begins and ends without a restart. What the page cache
 * does after a sync that failed is the kernel's own business; the process must not come to ask. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int told(char *word, size_t size) {
    const char *path = getenv("TORTURE_DISK");
    int kept = errno, file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t length = file < 0 ? -1 : read(file, word, size - 1);
    if (file >= 0) close(file);
    errno = kept;
    if (length <= 0) return 0;
    word[length] = 0;
    return 1;
}

static int before_sync(void) {
    char word[32];
    if (!told(word, sizeof word)) return 0;
    if (!strncmp(word, "fail", 4)) {
        errno = EIO;
        return -1;
    }
    while (!strncmp(word, "hang", 4)) {
        struct timespec time = {0, 2000000};
        nanosleep(&time, NULL);
        if (!told(word, sizeof word)) return 0;
    }
    if (!strncmp(word, "slow ", 5)) {
        long ms = atol(word + 5);
        struct timespec time = {ms / 1000, ms % 1000 * 1000000};
        nanosleep(&time, NULL);
    }
    return 0;
}

int fdatasync(int file) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return before_sync() ? -1 : real(file);
}

int fsync(int file) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return before_sync() ? -1 : real(file);
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t at) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    char word[32];
    if (!real) real = (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    if (told(word, sizeof word) && !strncmp(word, "full", 4)) {
        errno = ENOSPC;
        return -1;
    }
    return real(file, bytes, size, at);
}
