/* SPDX-License-Identifier: MIT */
/* A library to preload: lets single system calls on single files fail or answer what the test says, for errors that no
 * file system at hand gives. FAULTS holds lines `CALL NAME ACTION`: CALL is the function, NAME the last component of the
 * path, ACTION `errno=N`, or `value=N` (fstatat: the file type, ioctl FS_IOC_GETFLAGS: the flags). */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

struct action {
    bool fails, answers;
    int error;
    unsigned long value;
};

static const char *last_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* What FAULTS says about this call on this file. */
static struct action look_up(const char *call, const char *path)
{
    char want[256], what[32];
    unsigned long number;
    int used;
    const char *lines = getenv("FAULTS"), *name = last_of(path);
    for (; lines && *lines; lines += used) {
        char at[32];
        if (sscanf(lines, " %31s %255s %31[a-z]=%lu%n", at, want, what, &number, &used) != 4)
            break;
        if (strcmp(at, call) == 0 && strcmp(want, name) == 0)
            return (struct action){ .fails = what[0] == 'e', .answers = what[0] == 'v', .error = (int)number, .value = number };
    }
    return (struct action){ 0 };
}

static struct action look_up_fd(const char *call, int fd)
{
    char link[64], path[4096];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof(path) - 1);
    path[n < 0 ? 0 : n] = '\0';
    return look_up(call, path);
}

#define REAL(call) __typeof__(call) *const real = (__typeof__(call) *)dlsym(RTLD_NEXT, #call)
#define FAIL_IF(found)                                                                             \
    do {                                                                                           \
        const struct action taken = (found);                                                       \
        if (taken.fails) {                                                                         \
            errno = taken.error;                                                                   \
            return -1;                                                                             \
        }                                                                                          \
    } while (0)

int fstatat64(int dirfd, const char *path, struct stat64 *ret, int flags)
{
    REAL(fstatat64);
    const struct action a = look_up("fstatat", path);
    FAIL_IF(a);
    const int rc = real(dirfd, path, ret, flags);
    if (rc == 0 && a.answers)
        ret->st_mode = (mode_t)a.value;
    return rc;
}

int openat64(int dirfd, const char *path, int flags, ...)
{
    REAL(openat64);
    va_list more;
    va_start(more, flags);
    const mode_t mode = va_arg(more, mode_t);
    va_end(more);
    FAIL_IF(look_up("openat", path));
    return real(dirfd, path, flags, mode);
}

ssize_t flistxattr(int fd, char *list, size_t size)
{
    REAL(flistxattr);
    FAIL_IF(look_up_fd("flistxattr", fd));
    return real(fd, list, size);
}

ssize_t fgetxattr(int fd, const char *name, void *value, size_t size)
{
    REAL(fgetxattr);
    FAIL_IF(look_up("fgetxattr", name));
    return real(fd, name, value, size);
}

ssize_t getdents64(int fd, void *out, size_t size)
{
    REAL(getdents64);
    FAIL_IF(look_up_fd("getdents", fd));
    return real(fd, out, size);
}

int fstatfs64(int fd, struct statfs64 *ret)
{
    REAL(fstatfs64);
    FAIL_IF(look_up_fd("fstatfs", fd));
    return real(fd, ret);
}

ssize_t readlinkat(int dirfd, const char *path, char *out, size_t size)
{
    REAL(readlinkat);
    FAIL_IF(look_up("readlinkat", path));
    return real(dirfd, path, out, size);
}

int ioctl(int fd, unsigned long request, ...)
{
    REAL(ioctl);
    va_list more;
    va_start(more, request);
    void *answer = va_arg(more, void *);
    va_end(more);
    const struct action a = request == FS_IOC_GETFLAGS ? look_up_fd("getflags", fd) : (struct action){ 0 };
    FAIL_IF(a);
    if (a.answers) {
        *(unsigned int *)answer = (unsigned int)a.value;
        return 0;
    }
    return real(fd, request, answer);
}
