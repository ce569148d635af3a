/* SPDX-License-Identifier: MIT */
/* pbsref chunk --script: a payload stream with suggested and forced boundaries, played event by event [CHK-060 .. CHK-086].
 * Lines: `S o` a suggested boundary at stream offset o · `F b n` a forced boundary at b with n injected bytes · `D n [times]`
 * the next n bytes of the file become readable as one message. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "chunk/boundary.h"
#include "cli/view.h"
#include "cli/chunk_script.h"
#include "sys/fd.h"

enum { DATA_MAX = 1 << 30, SCRIPT_MAX = 16 << 20, NUMBERS_MAX = 2 };

struct play {
    struct pbr_boundary boundary;
    struct pbr_span data;
    size_t pos;  /* of data: what was readable so far */
    size_t base; /* of data: start of the open buffer */
    struct pbr_view *view;
};

static int show(struct play *p, const char *kind, uint64_t size, uint64_t end, struct pbr_diag *diag)
{
    return pbr_view_item(p->view, json_pack("{s:s, s:o, s:o}", "kind", kind, "size", pbr_view_u64(size), "end", pbr_view_u64(end)),
                         diag);
}

static int take(struct play *p, int event, const struct pbr_boundary_step *step, struct pbr_diag *diag)
{
    const uint64_t end = step->start + step->len;
    int rc = step->len ? show(p, "raw", step->len, end, diag) : PBR_OK;
    p->base += step->len;
    if (rc == PBR_OK && event == PBR_BOUNDARY_INJECT)
        rc = show(p, "inject", step->forced.size, end + step->forced.size, diag);
    return rc;
}

static struct pbr_span buffer(const struct play *p)
{
    return pbr_span_sub(p->data, p->base, p->pos - p->base);
}

static int deliver(struct play *p, uint64_t size, struct pbr_diag *diag)
{
    struct pbr_boundary_step step;
    if (size > p->data.len - p->pos)
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "the script reads more than the file has");
    p->pos += (size_t)size;
    for (;;) {
        const int event = pbr_boundary_step(&p->boundary, buffer(p), &step, diag);
        if (event <= PBR_BOUNDARY_MORE)
            return event;
        const int rc = take(p, event, &step, diag);
        if (rc < 0)
            return rc;
    }
}

static int finish(struct play *p, struct pbr_diag *diag)
{
    struct pbr_boundary_step step;
    const int event = pbr_boundary_finish(&p->boundary, buffer(p), &step, diag);
    return event <= PBR_BOUNDARY_MORE ? event : take(p, event, &step, diag);
}

/* Decimal numbers separated by single spaces behind the letter; how many, or -1. */
static int numbers_of(struct pbr_span line, uint64_t out[NUMBERS_MAX])
{
    int n = 0;
    size_t at = 1;
    while (at < line.len) {
        const uint8_t *start = line.ptr + at + 1;
        const uint8_t *space = line.len > at + 1 ? memchr(start, ' ', line.len - at - 1) : NULL;
        const size_t len = space ? (size_t)(space - start) : line.len - at - 1;
        if (line.ptr[at] != ' ' || n == NUMBERS_MAX || !pbr_parse_u64(pbr_span(start, len), 0, INT64_MAX, &out[n++]))
            return -1;
        at += 1 + len;
    }
    return n;
}

static int play_line(struct play *p, struct pbr_span line, struct pbr_diag *diag)
{
    uint64_t v[NUMBERS_MAX] = { 0 };
    const int n = line.len ? numbers_of(line, v) : -1;
    int rc = PBR_OK;
    if (n == 1 && line.ptr[0] == 'S')
        return pbr_boundary_suggest(&p->boundary, v[0]);
    if (n == 2 && line.ptr[0] == 'F')
        return pbr_boundary_force(&p->boundary, &(const struct pbr_forced){ .boundary = v[0], .size = v[1] });
    if (n < 1 || line.ptr[0] != 'D')
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "not a line of a script: %.*s", (int)line.len, (const char *)line.ptr);
    for (uint64_t i = 0; i < (n == 2 ? v[1] : 1) && rc == PBR_OK; i++)
        rc = deliver(p, v[0], diag);
    return rc;
}

static int play_script(struct play *p, struct pbr_span script, struct pbr_diag *diag)
{
    int rc = PBR_OK;
    while (script.len && rc == PBR_OK) {
        const uint8_t *end = memchr(script.ptr, '\n', script.len);
        const size_t len = end ? (size_t)(end - script.ptr) : script.len;
        rc = play_line(p, pbr_span_sub(script, 0, len), diag);
        script = pbr_span_sub(script, len + (end != NULL), script.len);
    }
    return rc < 0 ? rc : finish(p, diag);
}

int pbr_chunk_script(struct pbr_cli *cli, const char *data_path, const char *script_path, uint64_t avg, enum pbr_format format,
                     struct pbr_diag *diag)
{
    struct pbr_buf data, script;
    struct pbr_cut cut;
    struct pbr_view view;
    int rc = pbr_cut_init(&cut, avg, PBR_FIND_AUTO, diag);
    if (rc == PBR_OK)
        rc = pbr_load_file(&cli->env, AT_FDCWD, data_path, DATA_MAX, &data, diag);
    if (rc < 0)
        return rc;
    rc = pbr_load_file(&cli->env, AT_FDCWD, script_path, SCRIPT_MAX, &script, diag);
    if (rc == PBR_OK) {
        struct play p = { .data = pbr_buf_span(&data), .view = &view };
        pbr_boundary_init(&p.boundary, &cli->env, &cut);
        pbr_view_begin(&view, format);
        pbr_view_list(&view, "result");
        rc = play_script(&p, pbr_buf_span(&script), diag);
        pbr_view_list_end(&view);
        pbr_view_end(&view);
        pbr_boundary_release(&p.boundary);
        pbr_buf_release(&script);
    }
    pbr_buf_release(&data);
    return rc;
}
