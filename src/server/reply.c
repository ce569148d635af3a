/* SPDX-License-Identifier: MIT */
/* What is answered: JSON, bare error texts, raw bytes from memory or a file [BKP-067, BKP-068, RDR
 * section 2].
 *
 * Thread: the server's. */
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "server/server_int.h"
#include "sys/fd.h"

void pbr_srv_reply_init(struct pbr_srv_reply *r, const struct pbr_env *env)
{
    memset(r, 0, sizeof(*r));
    r->env = env;
    r->status = 200;
}

static void drop_body(struct pbr_srv_reply *r)
{
    pbr_free(r->env, r->mem);
    r->mem = NULL;
    if (r->file.read_at)
        pbr_source_close(&r->file);
    r->file = (struct pbr_source){ 0 };
    r->length = 0;
}

void pbr_srv_reply_release(struct pbr_srv_reply *r)
{
    if (!r->env)
        return;
    drop_body(r);
    pbr_srv_reply_init(r, r->env);
}

void pbr_srv_reply_mem(struct pbr_srv_reply *r, struct pbr_buf *b, bool has_length)
{
    size_t len;

    drop_body(r);
    r->mem = pbr_buf_steal(b, &len);
    r->length = len;
    r->status = 200;
    r->content_type = PBR_SRV_RAW_TYPE;
    r->has_length = has_length;
}

static int append_dump(const char *text, size_t len, void *ctx)
{
    return pbr_buf_append(ctx, pbr_span(text, len)) == PBR_OK ? 0 : -1;
}

int pbr_srv_reply_json(struct pbr_srv_reply *r, json_t *whole)
{
    struct pbr_buf text;
    int rc = PBR_E_NOMEM;

    pbr_buf_init(&text, r->env, PBR_REPLY_BODY_MAX);
    if (whole && json_dump_callback(whole, append_dump, &text, JSON_COMPACT) == 0) {
        pbr_srv_reply_mem(r, &text, true);
        r->content_type = PBR_SRV_JSON_TYPE;
        rc = PBR_OK;
    }
    pbr_buf_release(&text);
    json_decref(whole);
    return rc;
}

int pbr_srv_reply_data(struct pbr_srv_reply *r, json_t *value)
{
    json_t *whole = value ? json_object() : NULL;

    if (whole && json_object_set(whole, "data", value) != 0) {
        json_decref(whole);
        whole = NULL;
    }
    json_decref(value);
    return pbr_srv_reply_json(r, whole);
}

int pbr_srv_reply_null(struct pbr_srv_reply *r)
{
    return pbr_srv_reply_data(r, json_null());
}

void pbr_srv_reply_text(struct pbr_srv_reply *r, int status, const char *content_type,
                        struct pbr_span text)
{
    drop_body(r);
    r->status = status;
    r->content_type = content_type;
    r->has_length = true;
    r->mem = (uint8_t *)pbr_strndup(r->env, text);
    r->length = r->mem ? text.len : 0;
}

void pbr_srv_reply_fail(struct pbr_srv_reply *r, int code, const struct pbr_diag *diag,
                        const char *content_type)
{
    const char *text = diag->text[0] ? diag->text : pbr_err_name(code);

    pbr_srv_reply_text(r, diag->status ? diag->status : 400, content_type, pbr_span_str(text));
}

/* ---- files ---- */

struct file {
    const struct pbr_env *env;
    int fd;
};

static int file_read_at(void *ctx, uint64_t off, uint8_t *out, size_t len, struct pbr_diag *diag)
{
    const struct file *f = ctx;
    return pbr_pread_all(f->fd, off, out, len, "file", diag);
}

static void file_close(void *ctx)
{
    struct file *f = ctx;
    pbr_close(&f->fd);
    pbr_free(f->env, f);
}

int pbr_srv_reply_fd(struct pbr_srv_reply *r, int fd, uint64_t size, bool has_length,
                     struct pbr_diag *diag)
{
    struct file *f = pbr_alloc(r->env, 1, sizeof(*f));

    if (!f) {
        (void)close(fd);
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory for a file");
    }
    *f = (struct file){ .env = r->env, .fd = fd };
    drop_body(r);
    r->file =
        (struct pbr_source){ .ctx = f, .size = size, .read_at = file_read_at, .close = file_close };
    r->length = size;
    r->status = 200;
    r->content_type = PBR_SRV_RAW_TYPE;
    r->has_length = has_length;
    return PBR_OK;
}

int pbr_srv_reply_load(struct pbr_srv_reply *r, struct pbr_diag *diag)
{
    size_t len;

    if (!r->file.read_at)
        return PBR_OK;
    uint8_t *mem = pbr_to_size(r->length, &len) && len <= PBR_INDEX_SIZE_MAX
                       ? pbr_alloc(r->env, len + 1, 1)
                       : NULL;
    if (!mem)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "out of memory for a file");
    const int rc = pbr_source_read_at(&r->file, 0, mem, len, diag);
    if (rc < 0) {
        pbr_free(r->env, mem);
        return rc;
    }
    pbr_source_close(&r->file);
    r->file = (struct pbr_source){ 0 };
    r->mem = mem;
    return PBR_OK;
}
