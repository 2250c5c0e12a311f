/* Preloaded into PostgreSQL and the data plane: each sync takes SYNC_MICROSECONDS longer, as on a slower disk. */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <unistd.h>

int fsync(int file) {
    usleep(SYNC_MICROSECONDS);
    return (int)syscall(SYS_fsync, file);
}

int fdatasync(int file) {
    usleep(SYNC_MICROSECONDS);
    return (int)syscall(SYS_fdatasync, file);
}
