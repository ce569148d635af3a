/* SPDX-License-Identifier: MIT */
/* The I/O thread of an upgraded connection; see link.h. Requests travel to it through a locked list and an eventfd. */
#include "client/link.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/limits.h"
#include "format/manifest.h"
#include "sys/fd.h"

struct order {
    struct order *next;
    struct pbr_h2_req req; /* path owned */
};

struct pbr_link {
    const struct pbr_env *env;
    struct pbr_h2_client *h2; /* of the I/O thread only */
    pthread_t thread;
    int wake_fd;
    pthread_mutex_t lock;
    struct order *first, **last; /* orders not yet taken by the thread */
    bool stop;
    bool dead;                   /* the connection failed: see diag */
    struct pbr_diag diag;
};

static void wake(struct pbr_link *link)
{
    const uint64_t one = 1;
    (void)!write(link->wake_fd, &one, sizeof(one)); /* full counter is awake enough */
}

static void free_order(struct pbr_link *link, struct order *o)
{
    pbr_free(link->env, (void *)(uintptr_t)o->req.path);
    pbr_free(link->env, o);
}

static struct order *take_orders(struct pbr_link *link, bool *ret_stop)
{
    uint64_t count;
    (void)!read(link->wake_fd, &count, sizeof(count));
    pthread_mutex_lock(&link->lock);
    struct order *first = link->first;
    link->first = NULL;
    link->last = &link->first;
    *ret_stop = link->stop;
    pthread_mutex_unlock(&link->lock);
    return first;
}

static void refuse(struct pbr_link *link, struct order *o, const struct pbr_diag *diag)
{
    struct pbr_h2_reply reply = { 0 };
    pbr_buf_init(&reply.body, link->env, 0);
    o->req.done(o->req.ctx, diag->code, &reply, diag);
}

static void submit_orders(struct pbr_link *link, struct order *o, const struct pbr_diag *dead)
{
    while (o) {
        struct order *next = o->next;
        struct pbr_diag diag = { 0 };
        if (dead)
            refuse(link, o, dead);
        else if (pbr_h2_client_submit(link->h2, &o->req, &diag) < 0)
            refuse(link, o, &diag);
        free_order(link, o);
        o = next;
    }
}

static void *run(void *ctx)
{
    struct pbr_link *link = ctx;
    struct pbr_diag diag = { 0 };
    int rc = PBR_OK;
    for (;;) {
        bool stop;
        submit_orders(link, take_orders(link, &stop), NULL);
        if (stop)
            break;
        rc = pbr_h2_client_step(link->h2, link->wake_fd, -1, &diag);
        if (rc < 0)
            break;
    }
    if (rc == PBR_OK)
        (void)pbr_fail_at(&diag, PBR_E_CANCELED, NULL, "connection closed");
    pthread_mutex_lock(&link->lock);
    link->dead = true;
    link->diag = diag;
    pthread_mutex_unlock(&link->lock);
    bool stop;
    submit_orders(link, take_orders(link, &stop), &diag); /* those that came while it died */
    pbr_h2_client_free(link->h2);
    link->h2 = NULL;
    return NULL;
}

int pbr_link_new(const struct pbr_env *env, const struct pbr_pipe *pipe, struct pbr_link **ret, struct pbr_diag *diag)
{
    struct pbr_h2_client *h2;
    int rc = pbr_h2_client_new(env, pipe, &h2, diag);
    if (rc < 0)
        return rc;
    struct pbr_link *link = pbr_alloc(env, 1, sizeof(*link));
    if (!link) {
        pbr_h2_client_free(h2);
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a connection");
    }
    link->env = env;
    link->h2 = h2;
    link->last = &link->first;
    pthread_mutex_init(&link->lock, NULL);
    link->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const int failed = link->wake_fd < 0 ? errno : pthread_create(&link->thread, NULL, run, link);
    if (failed) {
        pbr_h2_client_free(h2);
        pbr_close(&link->wake_fd);
        pthread_mutex_destroy(&link->lock);
        pbr_free(env, link);
        return pbr_fail_os(diag, failed, "cannot start the connection's thread");
    }
    *ret = link;
    return PBR_OK;
}

void pbr_link_free(struct pbr_link *link)
{
    if (!link)
        return;
    pthread_mutex_lock(&link->lock);
    link->stop = true;
    pthread_mutex_unlock(&link->lock);
    wake(link);
    pthread_join(link->thread, NULL);
    pbr_close(&link->wake_fd);
    pthread_mutex_destroy(&link->lock);
    pbr_free(link->env, link);
}

const struct pbr_env *pbr_link_env(const struct pbr_link *link)
{
    return link->env;
}

int pbr_link_submit(struct pbr_link *link, const struct pbr_h2_req *req, struct pbr_diag *diag)
{
    struct order *o = pbr_alloc(link->env, 1, sizeof(*o));
    char *path = o ? pbr_strdup(link->env, req->path) : NULL;
    if (!path) {
        pbr_free(link->env, o);
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a request");
    }
    o->req = *req;
    o->req.path = path;
    if (!req->content_type) /* every request of the original names one */
        o->req.content_type = "application/x-www-form-urlencoded";
    pthread_mutex_lock(&link->lock);
    const bool dead = link->dead;
    if (dead && diag && diag->code == PBR_OK)
        *diag = link->diag;
    const int rc = dead ? (int)link->diag.code : PBR_OK;
    if (!dead) {
        *link->last = o;
        link->last = &o->next;
    }
    pthread_mutex_unlock(&link->lock);
    if (dead)
        free_order(link, o);
    else
        wake(link);
    return rc;
}

/* ---- blocking calls ---- */

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
    int rc;
    struct pbr_h2_reply reply;
    struct pbr_diag diag;
};

static void on_done(void *ctx, int rc, struct pbr_h2_reply *reply, const struct pbr_diag *diag)
{
    struct waiter *w = ctx;
    pthread_mutex_lock(&w->lock);
    w->done = true;
    w->rc = rc;
    w->reply = *reply;
    w->diag = *diag;
    *reply = (struct pbr_h2_reply){ 0 };
    pbr_buf_init(&reply->body, w->reply.body.env, 0);
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

int pbr_link_status(const struct pbr_h2_reply *reply, struct pbr_diag *diag)
{
    if (reply->status >= 200 && reply->status < 300)
        return PBR_OK;
    const struct pbr_span body = pbr_buf_span(&reply->body);
    const int len = (int)(body.len < 480 ? body.len : 480);
    const int rc = len ? pbr_fail_at(diag, PBR_E_REMOTE, NULL, "%.*s", len, (const char *)body.ptr)
                       : pbr_fail_at(diag, PBR_E_REMOTE, NULL, "server answered %d", reply->status);
    if (diag && diag->status == 0)
        diag->status = reply->status;
    return rc;
}

int pbr_link_call(struct pbr_link *link, const char *method, const char *path, const char *content_type,
                  struct pbr_span body, size_t reply_max, struct pbr_buf *ret_body, struct pbr_diag *diag)
{
    struct waiter w = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
    const struct pbr_h2_req req = { .method = method,
                                    .path = path,
                                    .content_type = content_type,
                                    .body = body,
                                    .reply_max = reply_max,
                                    .done = on_done,
                                    .ctx = &w };
    int rc = pbr_link_submit(link, &req, diag);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.cond, &w.lock);
    pthread_mutex_unlock(&w.lock);
    rc = w.rc;
    if (rc < 0 && diag && diag->code == PBR_OK)
        *diag = w.diag;
    if (rc == PBR_OK)
        rc = pbr_link_status(&w.reply, diag);
    if (rc == PBR_OK && ret_body)
        *ret_body = w.reply.body;
    else
        pbr_buf_release(&w.reply.body);
    return rc;
}

int pbr_link_call_json(struct pbr_link *link, const char *method, const char *path, const char *content_type,
                       struct pbr_span body, json_t **ret, struct pbr_diag *diag)
{
    struct pbr_buf answer;
    int rc = pbr_link_call(link, method, path, content_type, body, PBR_REPLY_BODY_MAX, &answer, diag);
    if (rc < 0)
        return rc;
    json_t *root = NULL;
    json_t *data = NULL;
    if (answer.len > 0) {
        rc = pbr_json_parse(pbr_buf_span(&answer), &root, diag);
        data = rc == PBR_OK ? json_object_get(root, "data") : NULL;
        if (rc == PBR_OK && !data)
            rc = pbr_fail_at(diag, PBR_E_PROTO, "BKP-071", "got result without data property");
    }
    if (rc == PBR_OK && ret)
        *ret = data ? json_incref(data) : json_null();
    json_decref(root);
    pbr_buf_release(&answer);
    return rc;
}
