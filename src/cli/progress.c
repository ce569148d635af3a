/* SPDX-License-Identifier: MIT */
/* The progress line on a terminal: what, how much, rate, time left. Nothing is printed when stderr is no terminal. */
#include <stdio.h>

#include "cli/cli.h"
#include "client/human.h"

enum { REDRAW_NS = 200000000 };

static struct {
    bool shown;
    uint64_t begin_ns, last_ns;
    const char *what;
} line;

void pbr_progress_clear(void)
{
    if (!line.shown)
        return;
    (void)fputs("\r\033[K", stderr);
    line.shown = false;
}

void pbr_progress_show(struct pbr_cli *cli, const char *what, uint64_t files, uint64_t bytes, uint64_t total)
{
    char size[PBR_HUMAN_MAX], rate[PBR_HUMAN_MAX], left[PBR_HUMAN_MAX], whole[PBR_HUMAN_MAX];
    if (!cli->stderr_tty)
        return;
    const uint64_t now = cli->env.mono_ns(cli->env.ctx);
    if (line.begin_ns == 0)
        line.begin_ns = now;
    if (now - line.last_ns < REDRAW_NS)
        return;
    line.last_ns = now;
    const uint64_t spent = now - line.begin_ns;
    pbr_human_size(bytes, size);
    pbr_human_rate(bytes, spent, rate);
    (void)fprintf(stderr, "\r\033[K%s: ", what);
    if (files)
        (void)fprintf(stderr, "%" PRIu64 " files, ", files);
    if (total && bytes <= total) {
        const double share = (double)bytes / (double)total;
        pbr_human_size(total, whole);
        pbr_human_span(bytes ? (uint64_t)((double)spent * (1.0 - share) / share) / 1000000000u * 1000000000u : 0, left);
        (void)fprintf(stderr, "%s of %s (%.0f%%), %s/s, %s left", size, whole, share * 100.0, rate, left);
    } else {
        (void)fprintf(stderr, "%s, %s/s", size, rate);
    }
    (void)fflush(stderr);
    line.shown = true;
}
