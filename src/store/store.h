/* SPDX-License-Identifier: MIT */
/* A datastore directory: making one, opening it, its locks and how far writes are pushed to disk.
 *
 *   <root>/                      0755   [IDX section 5]
 *     .lock                      0644   empty; record locks: shared = a backup, exclusive = garbage collection [IDX-103]
 *     .chunks/0000/ .. ffff/     0750   chunk files, store/chunk.h
 *     .locks/                    0755   lock files of groups, snapshots, manifests (ours; the original keeps them in /run)
 *     [ns/<name>/...]host|vm|ct/<id>/{owner,notes,<time>/...}   store/snapshot.h
 *
 * Nothing below <root> is reached through a symbolic link. Every name handed in is checked here again (namespace, type,
 * id, time, file name): PBR_E_ARG. All functions are synchronous and never wait for a lock that somebody holds for long.
 * A text in a diag is what the original server answers; diag.status is set where the HTTP status is not 400.
 * Thread: a store and everything opened through it belong to one thread; several stores (also in several processes)
 * may work on the same directory. */
#ifndef PBR_STORE_STORE_H
#define PBR_STORE_STORE_H

#include "base/io.h"
#include "format/name.h"

struct pbr_store;

/* How far data is on disk when a backup counts as finished. */
enum pbr_store_sync {
    PBR_STORE_SYNC_FILESYSTEM, /* one syncfs before the manifest is published, fsync of its directory after */
    PBR_STORE_SYNC_NONE,       /* left to the kernel: a power cut may lose finished backups, a killed process does not */
    PBR_STORE_SYNC_FILE,       /* fsync of every chunk, index and blob before its rename */
};

struct pbr_store_opts {
    const char *name;         /* datastore name in messages; NULL: last component of the path */
    enum pbr_store_sync sync;
    bool lazy;                /* init: leaves out the 65,536 prefix directories (made when first written to) */
    bool read_only;           /* open: nothing is created and no lock is taken */
    struct pbr_fault *fault;  /* NULL, or stepped at every changing system call: the one it hits fails with ENOSPC */
};

/* Makes the layout in `path` (created if missing; parents must exist). Fine on an existing datastore: what is missing is
 * added, nothing is changed. Owners stay the caller's. PBR_E_EXIST if the directory holds other things. */
PBR_MUST_USE int pbr_store_init(const struct pbr_env *env, const char *path, const struct pbr_store_opts *opts,
                                struct pbr_diag *diag);

/* `.chunks` must be there (PBR_E_NOENT otherwise); missing prefix directories are tolerated (IDX-101), `.lock` and
 * `.locks` are made. opts may be NULL. *ret is freed by close, after everything opened through it. */
PBR_MUST_USE int pbr_store_open(const struct pbr_env *env, const char *path, const struct pbr_store_opts *opts,
                                struct pbr_store **ret, struct pbr_diag *diag);
void pbr_store_close(struct pbr_store *s);
const char *pbr_store_name(const struct pbr_store *s);
const char *pbr_store_path(const struct pbr_store *s); /* absolute */

/* Pushes everything written so far to disk as opts.sync says (nothing for NONE). */
PBR_MUST_USE int pbr_store_sync(struct pbr_store *s, struct pbr_diag *diag);

/* Bytes of the file system the store lies on (API-116). */
struct pbr_store_space {
    uint64_t total, used, avail;
};
PBR_MUST_USE int pbr_store_space(const struct pbr_store *s, struct pbr_store_space *ret, struct pbr_diag *diag);

/* ---- locks: conflict between processes and between holders within one process; never wait [IDX-122, IDX-123] ---- */

struct pbr_store_lock;

enum pbr_store_lock_mode { PBR_STORE_SHARED, PBR_STORE_EXCLUSIVE };

/* PBR_E_STATE if somebody holds it in a conflicting mode; the texts are those of BKP-037 and API-105. The lock is
 * released by pbr_store_unlock (NULL is fine) and by the end of the process. */
PBR_MUST_USE int pbr_store_lock_chunks(struct pbr_store *s, enum pbr_store_lock_mode mode, struct pbr_store_lock **ret,
                                       struct pbr_diag *diag);
PBR_MUST_USE int pbr_store_lock_group(struct pbr_store *s, const char *ns, const struct pbr_group *g,
                                      struct pbr_store_lock **ret, struct pbr_diag *diag);
PBR_MUST_USE int pbr_store_lock_snapshot(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap,
                                         enum pbr_store_lock_mode mode, struct pbr_store_lock **ret,
                                         struct pbr_diag *diag);
void pbr_store_unlock(struct pbr_store_lock *lock);

#endif
