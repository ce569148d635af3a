/* SPDX-License-Identifier: MIT */
/* Prune: selection [API-108] and removal; see prune.h. */
#include "store/prune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/store_int.h"
#include "sys/fd.h"

void pbr_prune_local(void *ctx, enum pbr_prune_period period, int64_t time_s, char out[PBR_PRUNE_PERIOD_TEXT])
{
    const time_t t = (time_t)time_s;
    struct tm tm;
    (void)ctx;
    out[0] = 0;
    if (!localtime_r(&t, &tm))
        return;
    switch (period) { /* numbers only: no locale enters */
    case PBR_PRUNE_HOUR: (void)strftime(out, PBR_PRUNE_PERIOD_TEXT, "%Y/%m/%d/%H", &tm); break;
    case PBR_PRUNE_DAY: (void)strftime(out, PBR_PRUNE_PERIOD_TEXT, "%Y/%m/%d", &tm); break;
    case PBR_PRUNE_WEEK: (void)strftime(out, PBR_PRUNE_PERIOD_TEXT, "%G/%V", &tm); break;
    case PBR_PRUNE_MONTH: (void)strftime(out, PBR_PRUNE_PERIOD_TEXT, "%Y/%m", &tm); break;
    case PBR_PRUNE_YEAR: (void)strftime(out, PBR_PRUNE_PERIOD_TEXT, "%Y", &tm); break;
    }
}

/* ---- selection ---- */

struct text {
    char text[PBR_PRUNE_PERIOD_TEXT];
};

struct selection {
    struct pbr_prune_item **items; /* newest first */
    size_t nr;
    struct text *covered;          /* periods of snapshots that earlier rules keep; newest first */
    pbr_prune_period_fn *period;
    void *ctx;
};

static int newest_first(const void *a, const void *b)
{
    const struct pbr_prune_item *x = *(struct pbr_prune_item *const *)a;
    const struct pbr_prune_item *y = *(struct pbr_prune_item *const *)b;
    return (x->time_s < y->time_s) - (x->time_s > y->time_s);
}

/* Unfinished snapshots: the newest stays if no finished one is newer, that is if nothing is; protected ones stay. */
static void mark_partial(struct selection *sel)
{
    bool keep = true;
    for (size_t i = 0; i < sel->nr; i++) {
        struct pbr_prune_item *it = sel->items[i];
        if (it->is_protected)
            it->mark = PBR_PRUNE_PROTECTED;
        else if (!it->finished)
            it->mark = keep ? PBR_PRUNE_KEEP_PARTIAL : PBR_PRUNE_REMOVE;
        keep = false;
    }
}

static void period_of(const struct selection *sel, int rule, int64_t time_s, struct text *ret)
{
    if (rule < 0) /* keep-last: every snapshot is a period of its own */
        (void)snprintf(ret->text, sizeof(ret->text), "%" PRId64, time_s);
    else
        sel->period(sel->ctx, (enum pbr_prune_period)rule, time_s, ret->text);
}

/* Periods of time ordered snapshots come ordered, but a change of local time can mix hours up: a plain search. */
static bool has_period(const struct text *list, size_t nr, const struct text *id)
{
    for (size_t i = nr; i > 0; i--) {
        if (strcmp(list[i - 1].text, id->text) == 0)
            return true;
    }
    return false;
}

/* One rule: `count` newest snapshots of periods not yet covered. `chosen` holds the periods this rule selected. */
static void apply_rule(struct selection *sel, int rule, uint64_t count, struct text *chosen)
{
    size_t covered_nr = 0, chosen_nr = 0;
    struct text id;
    if (count == 0)
        return;
    for (size_t i = 0; i < sel->nr; i++) {
        if (sel->items[i]->mark == PBR_PRUNE_KEEP)
            period_of(sel, rule, sel->items[i]->time_s, &sel->covered[covered_nr++]);
    }
    for (size_t i = 0; i < sel->nr; i++) {
        struct pbr_prune_item *it = sel->items[i];
        if (it->mark != PBR_PRUNE_UNDECIDED)
            continue;
        period_of(sel, rule, it->time_s, &id);
        if (has_period(sel->covered, covered_nr, &id))
            continue;
        if (has_period(chosen, chosen_nr, &id)) {
            it->mark = PBR_PRUNE_REMOVE;
        } else {
            if (chosen_nr >= count)
                return;
            chosen[chosen_nr++] = id;
            it->mark = PBR_PRUNE_KEEP;
        }
    }
}

int pbr_prune_select(const struct pbr_env *env, const struct pbr_prune_keep *keep, pbr_prune_period_fn *period,
                     void *ctx, struct pbr_prune_item *items, size_t nr, struct pbr_diag *diag)
{
    const bool any = keep->last || keep->hourly || keep->daily || keep->weekly || keep->monthly || keep->yearly;
    struct selection sel = { .nr = nr, .period = period, .ctx = ctx };
    if (!any) {
        for (size_t i = 0; i < nr; i++)
            items[i].mark = items[i].is_protected ? PBR_PRUNE_PROTECTED : PBR_PRUNE_KEEP;
        return PBR_OK;
    }
    sel.items = pbr_alloc(env, nr + 1, sizeof(struct pbr_prune_item *));
    sel.covered = sel.items ? pbr_alloc(env, nr + 1, sizeof(*sel.covered)) : NULL;
    struct text *chosen = sel.covered ? pbr_alloc(env, nr + 1, sizeof(*chosen)) : NULL;
    if (!chosen) {
        pbr_free(env, sel.covered);
        pbr_free(env, (void *)sel.items);
        return store_nomem(diag);
    }
    for (size_t i = 0; i < nr; i++) {
        items[i].mark = PBR_PRUNE_UNDECIDED;
        sel.items[i] = &items[i];
    }
    qsort((void *)sel.items, nr, sizeof(struct pbr_prune_item *), newest_first);
    mark_partial(&sel);
    apply_rule(&sel, -1, keep->last, chosen);
    apply_rule(&sel, PBR_PRUNE_HOUR, keep->hourly, chosen);
    apply_rule(&sel, PBR_PRUNE_DAY, keep->daily, chosen);
    apply_rule(&sel, PBR_PRUNE_WEEK, keep->weekly, chosen);
    apply_rule(&sel, PBR_PRUNE_MONTH, keep->monthly, chosen);
    apply_rule(&sel, PBR_PRUNE_YEAR, keep->yearly, chosen);
    for (size_t i = 0; i < nr; i++) {
        if (items[i].mark == PBR_PRUNE_UNDECIDED)
            items[i].mark = PBR_PRUNE_REMOVE;
    }
    pbr_free(env, chosen);
    pbr_free(env, sel.covered);
    pbr_free(env, (void *)sel.items);
    return PBR_OK;
}

/* ---- applying ---- */

/* Times, finished and protected of all snapshots of a group, oldest first. */
static int read_items(struct pbr_store *s, const char *ns, const struct pbr_group *g, struct pbr_prune_result *ret,
                      struct pbr_diag *diag)
{
    struct store_times times;
    uint64_t size;
    int group_fd;
    int rc = store_open_group(s, ns, g, "API-107", &group_fd, diag);
    if (rc < 0)
        return rc;
    rc = store_read_times(s, group_fd, &times, diag);
    if (rc < 0) {
        pbr_close(&group_fd);
        return rc;
    }
    ret->items = pbr_alloc(s->env, times.nr + 1, sizeof(*ret->items));
    if (!ret->items)
        rc = store_nomem(diag);
    for (size_t i = 0; rc == PBR_OK && i < times.nr; i++) {
        char name[PBR_TIME_TEXT + 1];
        if (!pbr_time_format(times.items[i], name))
            continue;
        int fd = store_open_dir(group_fd, name);
        if (fd < 0)
            continue;
        int file = store_open_regular(fd, STORE_MANIFEST, &size);
        const struct pbr_snapshot snap = { .group = *g, .time_s = times.items[i] };
        ret->items[ret->nr++] = (struct pbr_prune_item){ .time_s = times.items[i],
                                                         .finished = file >= 0,
                                                         .is_protected = pbr_store_is_protected(s, ns, &snap) };
        pbr_close(&file);
        pbr_close(&fd);
    }
    pbr_free(s->env, times.items);
    pbr_close(&group_fd);
    return rc;
}

int pbr_store_prune(struct pbr_store *s, const char *ns, const struct pbr_group *g, const struct pbr_prune_keep *keep,
                    bool dry_run, struct pbr_prune_result *ret, struct pbr_diag *diag)
{
    struct pbr_prune_result r = { .env = s->env };
    int rc = read_items(s, ns, g, &r, diag);
    if (rc == PBR_OK)
        rc = pbr_prune_select(s->env, keep, pbr_prune_local, NULL, r.items, r.nr, diag);
    if (rc < 0) {
        pbr_free(s->env, r.items);
        return rc;
    }
    for (size_t i = 0; !dry_run && i < r.nr; i++) {
        const struct pbr_snapshot snap = { .group = *g, .time_s = r.items[i].time_s };
        struct pbr_diag cause = { 0 };
        if (pbr_prune_keeps(r.items[i].mark))
            continue;
        rc = pbr_store_forget_snapshot(s, ns, &snap, &cause);
        if (rc < 0)
            pbr_log(s->env, PBR_LOG_WARN, "prune: %s", cause.text);
        *(rc < 0 ? &r.failed : &r.removed) += 1;
    }
    *ret = r;
    return PBR_OK;
}
