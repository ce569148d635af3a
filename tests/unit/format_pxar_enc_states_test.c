/* SPDX-License-Identifier: MIT */
/* covers: PXAR-206 PXAR-207 PXAR-208 PXAR-212 */
/* The encoder's state machine: every call in every state, accepted or refused as the table says, and a refused one writes
 * nothing. */
#include "test.h"

#include "format/pxar_enc.h"

enum state { ROOT, BELOW, FILE_OPEN, FILE_FULL, DONE, FAILED, STATES };
enum call { NEW_FILE, REFERENCE, SYMLINK, DEVICE, FIFO, HARDLINK, ENTER, LEAVE, FINISH, WRITE, WRITE_MORE, END, ADVANCE, CALLS };

static const char *const state_names[] = { "root", "below", "file open", "file full", "done", "failed" };

/* A letter per call in the order above: y accepted, n refused. */
static const char *const table[STATES] = {
    [ROOT] = "yyyyyyynynnny",      /* leave: only below; finish: only here */
    [BELOW] = "yyyyyyyynnnny",
    [FILE_OPEN] = "nnnnnnnnnynnn", /* two bytes left */
    [FILE_FULL] = "nnnnnnnnnnnyn",
    [DONE] = "nnnnnnnnnnnnn",
    [FAILED] = "nnnnnnnnnnnnn",
};

static const struct pbr_pxar_meta DIR_META = { .mode = 040755 }, FILE_META = { .mode = 0100644 }, LINK_META = { .mode = 0120777 },
                                  FIFO_META = { .mode = 010644 }, DEV_META = { .mode = 060600 };

struct rig {
    struct test_world world;
    struct pbr_env env;
    struct pbr_buf archive, payload;
    struct pbr_sink to_archive, to_payload;
    struct pbr_pxar_enc *enc;
    uint64_t target; /* position of a file's FILENAME */
};

static int make_call(struct rig *r, enum call call)
{
    const struct pbr_span name = pbr_span_str("n");
    switch (call) {
    case NEW_FILE: return pbr_pxar_enc_file(r->enc, name, &FILE_META, 3, NULL, NULL);
    case REFERENCE: return pbr_pxar_enc_file_ref(r->enc, name, &FILE_META, 5000, 7, NULL, NULL);
    case SYMLINK: return pbr_pxar_enc_symlink(r->enc, name, &LINK_META, pbr_span_str("to"), NULL);
    case DEVICE: return pbr_pxar_enc_device(r->enc, name, &DEV_META, 7, 0, NULL);
    case FIFO: return pbr_pxar_enc_special(r->enc, name, &FIFO_META, NULL);
    case HARDLINK: return pbr_pxar_enc_hardlink(r->enc, name, pbr_span_str("first"), r->target, NULL);
    case ENTER: return pbr_pxar_enc_dir_enter(r->enc, name, &DIR_META, NULL);
    case LEAVE: return pbr_pxar_enc_dir_leave(r->enc, NULL);
    case FINISH: return pbr_pxar_enc_finish(r->enc, NULL);
    case WRITE: return pbr_pxar_enc_file_write(r->enc, pbr_span_str("ab"), NULL);
    case WRITE_MORE: return pbr_pxar_enc_file_write(r->enc, pbr_span_str("abc"), NULL);
    case END: return pbr_pxar_enc_file_end(r->enc, NULL);
    case ADVANCE: return pbr_pxar_enc_payload_advance(r->enc, 100, NULL);
    default: return PBR_E_ARG;
    }
}

static void bring_to(struct rig *r, enum state state)
{
    const struct pbr_span first = pbr_span_str("first");
    *r = (struct rig){ 0 };
    r->env = test_env(&r->world);
    pbr_buf_init(&r->archive, &r->env, 1 << 16);
    pbr_buf_init(&r->payload, &r->env, 1 << 16);
    r->to_archive = pbr_sink_buf(&r->archive);
    r->to_payload = pbr_sink_buf(&r->payload);
    check_int(pbr_pxar_enc_new(&r->env, &r->to_archive, &r->to_payload, NULL, &DIR_META, &r->enc, NULL), PBR_OK);
    check_int(pbr_pxar_enc_file(r->enc, first, &FILE_META, 0, &r->target, NULL), PBR_OK);
    check_int(pbr_pxar_enc_file_end(r->enc, NULL), PBR_OK);
    if (state == BELOW)
        check_int(pbr_pxar_enc_dir_enter(r->enc, pbr_span_str("d"), &DIR_META, NULL), PBR_OK);
    if (state == FILE_OPEN || state == FILE_FULL) {
        check_int(pbr_pxar_enc_file(r->enc, pbr_span_str("f"), &FILE_META, 2, NULL, NULL), PBR_OK);
        if (state == FILE_FULL)
            check_int(pbr_pxar_enc_file_write(r->enc, pbr_span_str("ab"), NULL), PBR_OK);
    }
    if (state == DONE)
        check_int(pbr_pxar_enc_finish(r->enc, NULL), PBR_OK);
    if (state == FAILED)
        check_int(pbr_pxar_enc_file_end(r->enc, NULL), PBR_E_STATE);
}

static void release(struct rig *r)
{
    pbr_pxar_enc_free(r->enc);
    pbr_buf_release(&r->archive);
    pbr_buf_release(&r->payload);
    check_int(r->world.live_allocs, 0);
}

static void test_every_call_in_every_state_is_taken_as_the_table_says(void **state)
{
    (void)state;
    for (enum state s = 0; s < STATES; s++) {
        check_int(strlen(table[s]), CALLS);
        for (enum call c = 0; c < CALLS; c++) {
            struct rig r;
            bring_to(&r, s);
            const size_t archive = r.archive.len, payload = r.payload.len;
            const int rc = make_call(&r, c);
            if ((rc == PBR_OK) != (table[s][c] == 'y'))
                print_error("state %s, call %d: %d\n", state_names[s], (int)c, rc);
            check((rc == PBR_OK) == (table[s][c] == 'y'));
            if (rc != PBR_OK) {
                check_u64(r.archive.len, archive);
                check_u64(r.payload.len, payload);
            }
            release(&r);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_call_in_every_state_is_taken_as_the_table_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
