/* SPDX-License-Identifier: MIT */
/* Which snapshots of a group a prune keeps [API-107, API-108], and removing the others. The selection is pure: times go in
 * through a function that names the period a time lies in.
 * Thread: plain values. */
#ifndef PBR_STORE_PRUNE_H
#define PBR_STORE_PRUNE_H

#include "store/snapshot.h"

enum pbr_prune_period { PBR_PRUNE_HOUR, PBR_PRUNE_DAY, PBR_PRUNE_WEEK, PBR_PRUNE_MONTH, PBR_PRUNE_YEAR };
enum { PBR_PRUNE_PERIOD_TEXT = 32 };

/* 0 = option not given. */
struct pbr_prune_keep {
    uint64_t last, hourly, daily, weekly, monthly, yearly;
};

enum pbr_prune_mark { PBR_PRUNE_UNDECIDED, PBR_PRUNE_KEEP, PBR_PRUNE_KEEP_PARTIAL, PBR_PRUNE_PROTECTED, PBR_PRUNE_REMOVE };

struct pbr_prune_item {
    int64_t time_s;
    bool finished, is_protected;
    enum pbr_prune_mark mark; /* out */
};

/* Names the period: two times lie in the same one if the texts are equal. */
typedef void pbr_prune_period_fn(void *ctx, enum pbr_prune_period period, int64_t time_s,
                                 char out[PBR_PRUNE_PERIOD_TEXT]);
/* Periods in the server's local time; weeks are ISO weeks. ctx is ignored. */
pbr_prune_period_fn pbr_prune_local;

/* Sets the marks; items in any order, the order stays. Without any keep option everything is kept. */
PBR_MUST_USE int pbr_prune_select(const struct pbr_env *env, const struct pbr_prune_keep *keep,
                                  pbr_prune_period_fn *period, void *ctx, struct pbr_prune_item *items, size_t nr,
                                  struct pbr_diag *diag);
static inline bool pbr_prune_keeps(enum pbr_prune_mark mark)
{
    return mark != PBR_PRUNE_REMOVE;
}

struct pbr_prune_result {
    const struct pbr_env *env;
    struct pbr_prune_item *items; /* oldest first [API-107] */
    size_t nr;
    size_t removed, failed;       /* failed: in use by somebody, or not removable */
};
/* Selects and, unless dry_run, removes. Missing group: PBR_E_NOENT, text of API-107. A snapshot that cannot be removed is
 * counted and skipped; PBR_OK all the same. The caller frees items with pbr_free(env, ...). */
PBR_MUST_USE int pbr_store_prune(struct pbr_store *s, const char *ns, const struct pbr_group *g,
                                 const struct pbr_prune_keep *keep, bool dry_run, struct pbr_prune_result *ret,
                                 struct pbr_diag *diag);

#endif
