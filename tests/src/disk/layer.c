/*
 * A layer between a program and its file system, put in front of libc by LD_PRELOAD.
 *
 * It sees every operation that changes files below the roots it is given, and does two things with it:
 *
 *   record   appends the operation, with its data, to a log, in the order in which the kernel saw it: operation and record
 *            are done under one lock. From the log a test builds what a disk may hold after a loss of power.
 *   fault    refuses what a control file says: an operation of a class in an area, or everything that grows a file.
 *
 * Nothing is kept about descriptors. What a descriptor stands for is asked of the kernel each time (/proc/self/fd, fstat),
 * so dup, fork and descriptors that were opened elsewhere need no care. A record names a file by its inode; an inode that
 * is used again is seen as a new file, because its creation is recorded.
 *
 * fsync is recorded and not passed on: nobody cuts the power of the machine the tests run on, and it saves their time.
 * copy_file_range and sendfile answer ENOSYS, as on an old kernel, so that the program copies by read and write.
 *
 * Not seen: writes through mmap, and system calls that pass libc by. The tests compare the log with the directory it
 * describes, which finds either.
 *
 * DISK_LAYER_ROOT     the directory to watch, as a canonical path; without it the layer does nothing
 * DISK_LAYER_LOG      file that operations are appended to; none are recorded without it
 * DISK_LAYER_CONTROL  file that holds a struct control; nothing is refused without it
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* The kinds of records; the reader has the same list. */
enum operation {
    OP_CREATE = 1, /* path, inode, offset = mode */
    OP_WRITE,      /* inode, offset, data */
    OP_SET_LEN,    /* inode, offset = length */
    OP_SYNC,       /* inode */
    OP_SYNC_FAILED,
    OP_MKDIR,      /* path, inode */
    OP_RMDIR,      /* path */
    OP_UNLINK,     /* path */
    OP_RENAME,     /* path, other path */
    OP_LINK,       /* path of the file, new path */
    OP_SYMLINK,    /* target, path */
};

/* Classes of operations that can be refused; bits. The test has the same list. */
enum class {
    CLASS_WRITE = 1,
    CLASS_SYNC = 2,
    CLASS_CREATE = 4,
    CLASS_RENAME = 8,
    CLASS_LINK = 16,
    CLASS_MKDIR = 32,
    CLASS_UNLINK = 64,
    CLASS_TRUNCATE = 128,
    CLASS_READ = 256,
};

/* Before each record; paths and data follow. Numbers as the machine has them. */
struct record {
    uint32_t operation;
    uint32_t path_len;
    uint32_t other_len;
    uint32_t data_len;
    uint64_t inode;
    uint64_t offset;
};

/* What is to be refused. The test writes it into the control file, which is mapped here. */
struct control {
    uint32_t classes;  /* bits of enum class; 0 refuses nothing. Written last. */
    int32_t error;     /* errno of what is refused */
    uint64_t skip;     /* operations that match and pass, before the first that fails */
    uint64_t count;    /* operations that fail then */
    uint64_t room;     /* bytes by which files may still grow; all ones: no limit */
    uint64_t seen;     /* operations that matched */
    uint64_t failed;   /* operations that were refused */
    char area[256];    /* part of the path of what is to match */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_len;
static int log_fd = -1;
static volatile struct control *control;

static void set_up(void) {
    const char *given = getenv("DISK_LAYER_ROOT");
    if (!given || strlen(given) >= sizeof root) return;
    const char *log = getenv("DISK_LAYER_LOG");
    if (log) log_fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const char *file = getenv("DISK_LAYER_CONTROL");
    if (file) {
        int fd = syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC, 0);
        void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED) abort(); /* A test of faults without faults would pass. */
        control = at;
        close(fd);
    }
    if (log && log_fd < 0) abort();
    strcpy(root, given);
    root_len = strlen(root);
}

/* ---- which files are watched ---- */

static int watched(const char *path) {
    pthread_once(&once, set_up);
    return root_len && !strncmp(path, root, root_len) && (path[root_len] == '/' || path[root_len] == 0);
}

static int path_of_fd(int fd, char *path) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, PATH_MAX - 1);
    if (len <= 0) return 0;
    path[len] = 0;
    return 1;
}

/* The absolute form of a path, if it is watched. */
static int watched_at(int dir, const char *path, char *full) {
    pthread_once(&once, set_up);
    if (!root_len || !path || !*path) return 0;
    if (*path == '/') {
        if (strlen(path) >= PATH_MAX) return 0;
        strcpy(full, path);
    } else {
        char base[PATH_MAX];
        if (dir == AT_FDCWD ? !getcwd(base, sizeof base) : !path_of_fd(dir, base)) return 0;
        if (snprintf(full, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return 0;
    }
    size_t len = strlen(full);
    while (len > 1 && full[len - 1] == '/') full[--len] = 0;
    return watched(full);
}

/* What an open descriptor stands for, if it is watched. */
static int watched_fd(int fd, char *path, struct stat *st) {
    pthread_once(&once, set_up);
    return root_len && path_of_fd(fd, path) && watched(path) && !fstat(fd, st);
}

/* ---- the log ---- */

static void append(const void *bytes, size_t len) {
    const char *from = bytes;
    while (len) {
        ssize_t done = syscall(SYS_write, log_fd, from, len);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) abort(); /* A log with a hole would tell a lie. */
        from += done;
        len -= done;
    }
}

/* Paths are told without the root. Called with the lock held; keeps errno. */
static void record(int operation, const char *path, const char *other, uint64_t inode, uint64_t offset,
                   const struct iovec *data, int pieces, size_t data_len) {
    if (log_fd < 0) return;
    int saved = errno;
    if (path && watched(path)) path += root_len;
    if (other && watched(other)) other += root_len;
    struct record head = {operation, path ? strlen(path) : 0, other ? strlen(other) : 0, data_len, inode, offset};
    char *whole = malloc(sizeof head + head.path_len + head.other_len + data_len);
    if (!whole) abort();
    char *at = whole;
    memcpy(at, &head, sizeof head), at += sizeof head;
    if (path) memcpy(at, path, head.path_len), at += head.path_len;
    if (other) memcpy(at, other, head.other_len), at += head.other_len;
    for (int piece = 0; piece < pieces && data_len; piece++) {
        size_t len = data[piece].iov_len < data_len ? data[piece].iov_len : data_len;
        memcpy(at, data[piece].iov_base, len), at += len;
        data_len -= len;
    }
    /* In one write, so that who looks at the length of the log sees whole records. */
    append(whole, at - whole);
    free(whole);
    errno = saved;
}

/* ---- faults ---- */

/* Whether this operation is to fail; sets errno then. Called with the lock held. */
static int refused(int class, const char *path, const char *other) {
    if (!control || !(control->classes & class)) return 0;
    const char *area = (const char *)control->area;
    if (!strstr(path, area) && !(other && strstr(other, area))) return 0;
    uint64_t turn = control->seen++;
    if (turn < control->skip || turn - control->skip >= control->count) return 0;
    control->failed++;
    errno = control->error;
    return 1;
}

/* How many of so many bytes a file may grow by; takes them. Called with the lock held. */
static uint64_t grow(uint64_t wanted) {
    if (!control || control->room == UINT64_MAX || !wanted) return wanted;
    uint64_t given = wanted < control->room ? wanted : control->room;
    control->room -= given;
    if (given < wanted) control->failed++;
    return given;
}

/* Whether there is no room for one more name. */
static int full(void) {
    if (!control || control->room) return 0;
    control->failed++;
    errno = ENOSPC;
    return 1;
}

/* ---- opening ---- */

static int do_open(int dir, const char *path, int flags, mode_t mode) {
    char name[PATH_MAX];
    if (!(flags & (O_CREAT | O_TRUNC)) || !watched_at(dir, path, name)) return syscall(SYS_openat, dir, path, flags, mode);
    pthread_mutex_lock(&mutex);
    struct stat st;
    int there = !lstat(name, &st), fd = -1;
    off_t before = there ? st.st_size : 0;
    if (there || (!refused(CLASS_CREATE, name, NULL) && !full())) {
        fd = syscall(SYS_openat, dir, path, flags, mode);
        if (fd >= 0 && !fstat(fd, &st)) {
            if (!there) record(OP_CREATE, name, NULL, st.st_ino, st.st_mode & 07777, NULL, 0, 0);
            else if (flags & O_TRUNC && before) record(OP_SET_LEN, NULL, NULL, st.st_ino, 0, NULL, 0, 0);
        }
    }
    pthread_mutex_unlock(&mutex);
    return fd;
}

#define MODE_OF(flags, last)                            \
    mode_t mode = 0;                                    \
    if ((flags) & O_CREAT) {                            \
        va_list more;                                   \
        va_start(more, last);                           \
        mode = va_arg(more, mode_t);                    \
        va_end(more);                                   \
    }

int open(const char *path, int flags, ...) { MODE_OF(flags, flags) return do_open(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE_OF(flags, flags) return do_open(AT_FDCWD, path, flags, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE_OF(flags, flags) return do_open(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE_OF(flags, flags) return do_open(dir, path, flags, mode); }
int creat(const char *path, mode_t mode) { return do_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

/* ---- reading ---- */

/* Read is what is read most: only while reads are to fail it is asked which file this one is of. */
static int read_refused(int fd) {
    char path[PATH_MAX];
    struct stat st;
    pthread_once(&once, set_up);
    if (!control || !(control->classes & CLASS_READ) || !watched_fd(fd, path, &st) || !S_ISREG(st.st_mode)) return 0;
    pthread_mutex_lock(&mutex);
    int failed = refused(CLASS_READ, path, NULL);
    pthread_mutex_unlock(&mutex);
    return failed;
}

ssize_t read(int fd, void *to, size_t len) { return read_refused(fd) ? -1 : syscall(SYS_read, fd, to, len); }
ssize_t pread(int fd, void *to, size_t len, off_t offset) {
    return read_refused(fd) ? -1 : syscall(SYS_pread64, fd, to, len, (long)offset);
}
ssize_t pread64(int fd, void *to, size_t len, off64_t offset) { return pread(fd, to, len, offset); }

/* ---- writing ---- */

/* All writes end here. An offset of -1 stands for the descriptor's own. */
static ssize_t do_write(int fd, const struct iovec *data, int pieces, off_t offset) {
    char path[PATH_MAX];
    struct stat st;
    if (!watched_fd(fd, path, &st) || !S_ISREG(st.st_mode)) {
        if (offset >= 0) return syscall(SYS_pwritev, fd, data, pieces, (long)offset, 0L);
        return syscall(SYS_writev, fd, data, pieces);
    }
    size_t len = 0;
    for (int piece = 0; piece < pieces; piece++) len += data[piece].iov_len;
    pthread_mutex_lock(&mutex);
    ssize_t done = -1;
    if (fstat(fd, &st) || refused(CLASS_WRITE, path, NULL)) goto end;
    off_t at = offset;
    if (at < 0) at = fcntl(fd, F_GETFL) & O_APPEND ? st.st_size : lseek(fd, 0, SEEK_CUR);
    off_t over = at + (off_t)len - st.st_size;
    if (over > 0) {
        uint64_t wanted = (uint64_t)over < len ? (uint64_t)over : len;
        uint64_t missing = wanted - grow(wanted);
        if (missing == len && len) {
            errno = ENOSPC;
            goto end;
        }
        len -= missing;
    }
    /* A disk that is nearly full takes a part: one copy, so that the part is simple to cut. */
    char *whole = malloc(len ? len : 1), *to = whole;
    if (!whole) abort();
    size_t left = len;
    for (int piece = 0; piece < pieces && left; piece++) {
        size_t some = data[piece].iov_len < left ? data[piece].iov_len : left;
        memcpy(to, data[piece].iov_base, some), to += some;
        left -= some;
    }
    done = offset >= 0 ? syscall(SYS_pwrite64, fd, whole, len, (long)offset) : syscall(SYS_write, fd, whole, len);
    struct iovec one = {whole, len};
    if (done > 0) record(OP_WRITE, NULL, NULL, st.st_ino, at, &one, 1, done);
    int saved = errno;
    free(whole);
    errno = saved;
end:
    pthread_mutex_unlock(&mutex);
    return done;
}

ssize_t write(int fd, const void *bytes, size_t len) {
    struct iovec one = {(void *)bytes, len};
    return do_write(fd, &one, 1, -1);
}
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset) {
    struct iovec one = {(void *)bytes, len};
    return do_write(fd, &one, 1, offset);
}
ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset) { return pwrite(fd, bytes, len, offset); }
ssize_t writev(int fd, const struct iovec *data, int pieces) { return do_write(fd, data, pieces, -1); }
ssize_t pwritev(int fd, const struct iovec *data, int pieces, off_t offset) { return do_write(fd, data, pieces, offset); }
ssize_t pwritev64(int fd, const struct iovec *data, int pieces, off64_t offset) {
    return do_write(fd, data, pieces, offset);
}

ssize_t copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t len, unsigned flags) {
    char path[PATH_MAX];
    struct stat st;
    if (watched_fd(to, path, &st)) {
        errno = ENOSYS;
        return -1;
    }
    return syscall(SYS_copy_file_range, from, from_offset, to, to_offset, len, flags);
}
ssize_t sendfile(int to, int from, off_t *offset, size_t len) {
    char path[PATH_MAX];
    struct stat st;
    if (watched_fd(to, path, &st)) {
        errno = ENOSYS;
        return -1;
    }
    return syscall(SYS_sendfile, to, from, offset, len);
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t len) { return sendfile(to, from, offset, len); }

int ftruncate(int fd, off_t len) {
    char path[PATH_MAX];
    struct stat st;
    if (!watched_fd(fd, path, &st)) return syscall(SYS_ftruncate, fd, (long)len);
    pthread_mutex_lock(&mutex);
    int done = -1;
    if (!fstat(fd, &st) && !refused(CLASS_TRUNCATE, path, NULL)) {
        uint64_t wanted = len > st.st_size ? len - st.st_size : 0;
        if (grow(wanted) < wanted) errno = ENOSPC;
        else done = syscall(SYS_ftruncate, fd, (long)len);
        if (!done) record(OP_SET_LEN, NULL, NULL, st.st_ino, len, NULL, 0, 0);
    }
    pthread_mutex_unlock(&mutex);
    return done;
}
int ftruncate64(int fd, off64_t len) { return ftruncate(fd, len); }

/* Room that is taken in advance: as on a file system that does not know it. SQLite and others go on without. */
int fallocate(int fd, int mode, off_t offset, off_t len) {
    char path[PATH_MAX];
    struct stat st;
    if (!watched_fd(fd, path, &st)) return syscall(SYS_fallocate, fd, mode, (long)offset, (long)len);
    errno = EOPNOTSUPP;
    return -1;
}
int fallocate64(int fd, int mode, off64_t offset, off64_t len) { return fallocate(fd, mode, offset, len); }
int posix_fallocate(int fd, off_t offset, off_t len) { return fallocate(fd, 0, offset, len) ? errno : 0; }
int posix_fallocate64(int fd, off64_t offset, off64_t len) { return posix_fallocate(fd, offset, len); }

/* ---- syncing ---- */

static int do_sync(long call, int fd) {
    char path[PATH_MAX];
    struct stat st;
    if (!watched_fd(fd, path, &st)) return syscall(call, fd);
    pthread_mutex_lock(&mutex);
    int failed = refused(CLASS_SYNC, path, NULL);
    record(failed ? OP_SYNC_FAILED : OP_SYNC, NULL, NULL, st.st_ino, 0, NULL, 0, 0);
    pthread_mutex_unlock(&mutex);
    return failed ? -1 : 0;
}
int fsync(int fd) { return do_sync(SYS_fsync, fd); }
int fdatasync(int fd) { return do_sync(SYS_fdatasync, fd); }
/* It promises nothing: neither sizes nor names nor the disk's own cache. So it is passed on, and not recorded. */
int sync_file_range(int fd, off64_t offset, off64_t len, unsigned flags) {
    return syscall(SYS_sync_file_range, fd, (long)offset, (long)len, flags);
}

/* ---- names ---- */

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    char name[PATH_MAX], other[PATH_MAX];
    int ours = watched_at(from_dir, from, name) & watched_at(to_dir, to, other);
    if (!ours) return syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    pthread_mutex_lock(&mutex);
    int done = refused(CLASS_RENAME, name, other) ? -1 : syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    if (!done) record(OP_RENAME, name, other, 0, 0, NULL, 0, 0);
    pthread_mutex_unlock(&mutex);
    return done;
}
int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    return renameat2(from_dir, from, to_dir, to, 0);
}
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    char name[PATH_MAX], other[PATH_MAX];
    int ours = watched_at(from_dir, from, name) & watched_at(to_dir, to, other);
    if (!ours) return syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
    pthread_mutex_lock(&mutex);
    int done = refused(CLASS_LINK, name, other) || full() ? -1 : syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
    if (!done) record(OP_LINK, name, other, 0, 0, NULL, 0, 0);
    pthread_mutex_unlock(&mutex);
    return done;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int symlinkat(const char *target, int dir, const char *path) {
    char name[PATH_MAX];
    if (!watched_at(dir, path, name)) return syscall(SYS_symlinkat, target, dir, path);
    pthread_mutex_lock(&mutex);
    int done = refused(CLASS_LINK, name, NULL) || full() ? -1 : syscall(SYS_symlinkat, target, dir, path);
    if (!done) record(OP_SYMLINK, target, name, 0, 0, NULL, 0, 0);
    pthread_mutex_unlock(&mutex);
    return done;
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

int unlinkat(int dir, const char *path, int flags) {
    char name[PATH_MAX];
    if (!watched_at(dir, path, name)) return syscall(SYS_unlinkat, dir, path, flags);
    pthread_mutex_lock(&mutex);
    int done = refused(CLASS_UNLINK, name, NULL) ? -1 : syscall(SYS_unlinkat, dir, path, flags);
    if (!done) record(flags & AT_REMOVEDIR ? OP_RMDIR : OP_UNLINK, name, NULL, 0, 0, NULL, 0, 0);
    pthread_mutex_unlock(&mutex);
    return done;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int dir, const char *path, mode_t mode) {
    char name[PATH_MAX];
    if (!watched_at(dir, path, name)) return syscall(SYS_mkdirat, dir, path, mode);
    pthread_mutex_lock(&mutex);
    int done = -1;
    struct stat st;
    /* The name is looked at first: who asks for a directory that is there learns that, also on a full disk. */
    if (!lstat(name, &st)) errno = EEXIST;
    else if (!refused(CLASS_MKDIR, name, NULL) && !full()) done = syscall(SYS_mkdirat, dir, path, mode);
    if (!done && !lstat(name, &st)) record(OP_MKDIR, name, NULL, st.st_ino, 0, NULL, 0, 0);
    pthread_mutex_unlock(&mutex);
    return done;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
