/* SPDX-License-Identifier: MIT */
/* Scripted faults at work: which fire, and what they make of a reply; the language is
 * proto/fault.h.
 *
 * Thread: the server's. */
#include <string.h>

#include "server/server_int.h"

void pbr_srv_fault_step(struct pbr_server *s, struct pbr_srv_fired *fired, uint64_t conn_id,
                        enum pbr_fault_where where, const char *method, const char *subject)
{
    for (size_t i = 0; i < s->fault_nr; i++) {
        struct pbr_fault_spec *f = &s->faults[i];
        if (!pbr_fault_spec_step(f, where, method, subject))
            continue;
        fired->act[f->what] = f;
        pbr_srv_journal(s, "fault", conn_id,
                        json_pack("{s:s, s:s}", "fault", s->fault_text[i], "at", subject));
    }
}

bool pbr_srv_fault_replaces(const struct pbr_srv_fired *fired)
{
    static const enum pbr_fault_what replacing[] = { PBR_FAULT_STATUS,     PBR_FAULT_RESET,
                                                     PBR_FAULT_CLOSE,      PBR_FAULT_GOAWAY,
                                                     PBR_FAULT_RST_STREAM, PBR_FAULT_STALL };
    for (size_t i = 0; i < sizeof(replacing) / sizeof(replacing[0]); i++)
        if (fired->act[replacing[i]])
            return true;
    return false;
}

static void invert(uint8_t *p, uint64_t len)
{
    for (uint64_t i = 0; i < len; i++)
        p[i] = (uint8_t)~p[i];
}

/* Is the body an index file with at least one record? */
static bool is_index(const struct pbr_srv_reply *r, enum pbr_index_kind *ret_kind)
{
    struct pbr_index ix;

    if (!r->mem || pbr_index_parse(pbr_span(r->mem, (size_t)r->length), false, &ix, NULL) < 0 ||
        ix.entry_nr == 0)
        return false;
    *ret_kind = ix.kind;
    return true;
}

static void lie_about_index(const struct pbr_srv_fired *fired, struct pbr_srv_reply *r)
{
    enum pbr_index_kind kind;

    if (!is_index(r, &kind))
        return;
    if (fired->act[PBR_FAULT_LIE_CSUM])
        invert(r->mem + (r->length - PBR_DIGEST_LEN), PBR_DIGEST_LEN);
    if (fired->act[PBR_FAULT_LIE_SIZE]) {
        uint8_t *size =
            kind == PBR_INDEX_DYNAMIC ? r->mem + (r->length - PBR_DIDX_REC) : r->mem + 64;
        pbr_put_u64le(size, pbr_get_u64le(size) + 1);
    }
}

void pbr_srv_fault_reply(const struct pbr_srv_fired *fired, struct pbr_srv_reply *r)
{
    const struct pbr_fault_spec *f = fired->act[PBR_FAULT_STATUS];

    if (f) {
        const char *text = f->text[0] ? f->text : "fault injected";
        pbr_srv_reply_text(r, (int)f->value, NULL, pbr_span_str(text));
    }
    if (fired->act[PBR_FAULT_DELAY])
        r->delay_ms += (unsigned)fired->act[PBR_FAULT_DELAY]->value;
    if (!fired->act[PBR_FAULT_SHORT] && !fired->act[PBR_FAULT_CORRUPT] &&
        !fired->act[PBR_FAULT_LIE_CSUM] && !fired->act[PBR_FAULT_LIE_SIZE])
        return;
    if (pbr_srv_reply_load(r, NULL) < 0)
        return;
    lie_about_index(fired, r);
    f = fired->act[PBR_FAULT_CORRUPT];
    if (f && r->mem) {
        const uint64_t n = f->value < r->length ? f->value : r->length;
        invert(r->mem + (r->length - n), n);
    }
    f = fired->act[PBR_FAULT_SHORT];
    if (f && f->value < r->length)
        r->length = f->value;
}
