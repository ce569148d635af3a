/* SPDX-License-Identifier: MIT */
/* The half of creation that writes: entries of the walk become encoder and catalog calls, at once or, where `decide`
 * says so, later. Inside archive/ only. Thread: not shared. */
#ifndef PBR_ARCHIVE_CREATE_EMIT_H
#define PBR_ARCHIVE_CREATE_EMIT_H

#include "archive/capture.h"
#include "archive/create.h"
#include "archive/create_links.h"
#include "archive/walk_int.h"
#include "format/pxar_enc.h"

struct pbr_create_deferred;

struct pbr_create {
    const struct pbr_env *env;
    const struct pbr_create_opts *opts;
    bool split;    /* version 2, or split as the draft does */
    bool decides;  /* files may be deferred and re-used */
    uint64_t root_dev;
    struct pbr_pxar_enc *enc;
    struct pbr_walk walk;
    struct pbr_capture capture;
    struct pbr_links links;
    struct pbr_create_deferred *first, *last; /* in archive order */
    size_t deferred_nr;
    struct pbr_create_stats stats;
};

/* One thing to write. Everything is borrowed for the call. */
struct pbr_create_item {
    enum pbr_create_event event;
    struct pbr_span path, name;
    struct pbr_entry_stat st;          /* zero for DIR_END */
    const struct pbr_pxar_meta *meta;  /* NULL for DIR_END and known hard links */
    struct pbr_span target;            /* symlinks */
};

/* Writes or defers it. *fd: content of regular files, -1 for everything else; if the entry is deferred it is taken over
 * and set to -1. */
PBR_MUST_USE int pbr_create_emit(struct pbr_create *cr, const struct pbr_create_item *item, int *fd,
                                 struct pbr_diag *diag);
/* Drops what is deferred, closing descriptors. */
void pbr_create_drop(struct pbr_create *cr);

/* Exactly `size` bytes from fd into the encoder's open file (CRT-140 .. CRT-142). `path` is for messages. */
PBR_MUST_USE int pbr_create_content(struct pbr_create *cr, int fd, struct pbr_span path, uint64_t size,
                                    struct pbr_diag *diag);

#endif
