/* SPDX-License-Identifier: MIT */
/* HTTP/1.1, the server's side; see http1.h. */
#include "net/http1.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum state {
    STATE_HEAD,
    STATE_BODY, /* content-length */
    STATE_CHUNK_SIZE,
    STATE_CHUNK_DATA,
    STATE_CHUNK_END, /* the CRLF behind the data */
    STATE_TRAILER,
    STATE_END,
};

enum { LINE_MAX_LEN = 4096 }; /* chunk size with extensions, one trailer line */

void pbr_http1_init(struct pbr_http1 *p, const struct pbr_env *env)
{
    memset(p, 0, sizeof(*p));
    p->env = env;
    pbr_buf_init(&p->head, env, PBR_HTTP1_HEAD_MAX);
    p->state = STATE_HEAD;
}

void pbr_http1_release(struct pbr_http1 *p)
{
    pbr_buf_release(&p->head);
    p->header_nr = 0;
}

bool pbr_http1_idle(const struct pbr_http1 *p)
{
    return (p->state == STATE_HEAD && p->head.len == 0) || p->state == STATE_END;
}

static int malformed(struct pbr_diag *diag, const char *what)
{
    const int rc = pbr_fail_at(diag, PBR_E_FORMAT, "API-001", "malformed HTTP request: %s", what);
    if (diag && diag->status == 0)
        diag->status = 400;
    return rc;
}

/* ---- head ---- */

static bool is_token_char(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Cuts the line at *at out of the head: ends it with NUL, moves *at behind its line end. */
static char *cut_line(struct pbr_http1 *p, size_t *at)
{
    char *line = (char *)p->head.ptr + *at;
    char *end = memchr(line, '\n', p->head.len - *at);

    *at = (size_t)(end + 1 - (char *)p->head.ptr);
    *end = '\0';
    if (end > line && end[-1] == '\r')
        end[-1] = '\0';
    return line;
}

static int parse_request_line(struct pbr_http1 *p, char *line, struct pbr_diag *diag)
{
    char *target = strchr(line, ' ');
    char *version = target ? strchr(target + 1, ' ') : NULL;

    if (!version || target == line || version == target + 1)
        return malformed(diag, "request line");
    *target++ = '\0';
    *version++ = '\0';
    for (const char *c = line; *c; c++)
        if (!is_token_char((uint8_t)*c))
            return malformed(diag, "method");
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
        return malformed(diag, "version");
    p->method = line;
    p->target = target;
    p->keep_alive = version[7] == '1';
    return PBR_OK;
}

static int parse_header_line(struct pbr_http1 *p, char *line, struct pbr_diag *diag)
{
    char *colon = strchr(line, ':');

    if (!colon || colon == line)
        return malformed(diag, "header line");
    if (p->header_nr == PBR_HTTP1_HEADERS_MAX)
        return malformed(diag, "too many headers");
    *colon = '\0';
    for (char *c = line; *c; c++) {
        if (!is_token_char((uint8_t)*c))
            return malformed(diag, "header name");
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    }
    char *value = colon + 1 + strspn(colon + 1, " \t");
    size_t len = strlen(value);
    while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
        value[--len] = '\0';
    p->header[p->header_nr++] = (struct pbr_http1_header){ line, value };
    return PBR_OK;
}

const char *pbr_http1_get(const struct pbr_http1 *p, const char *name)
{
    for (size_t i = 0; i < p->header_nr; i++)
        if (strcmp(p->header[i].name, name) == 0)
            return p->header[i].value;
    return NULL;
}

static bool has_word(const char *list, const char *word)
{
    const size_t n = strlen(word);

    while (list && *list) {
        list += strspn(list, ", \t");
        const size_t len = strcspn(list, ", \t");
        if (len == n && strncasecmp(list, word, n) == 0)
            return true;
        list += len;
    }
    return false;
}

/* Decides how the body comes. */
static int start_body(struct pbr_http1 *p, struct pbr_diag *diag)
{
    const char *length = NULL, *coding = pbr_http1_get(p, "transfer-encoding");
    const char *connection = pbr_http1_get(p, "connection");
    const char *expect = pbr_http1_get(p, "expect");

    p->expect_continue = has_word(expect, "100-continue");
    if (has_word(connection, "close"))
        p->keep_alive = false;
    for (size_t i = 0; i < p->header_nr; i++) {
        if (strcmp(p->header[i].name, "content-length") != 0)
            continue;
        if (length && strcmp(length, p->header[i].value) != 0)
            return malformed(diag, "two lengths");
        length = p->header[i].value;
    }
    if (coding && length)
        return malformed(diag, "both content-length and transfer-encoding");
    p->state = STATE_END;
    if (coding) {
        if (strcasecmp(coding, "chunked") != 0)
            return malformed(diag, "transfer-encoding");
        p->state = STATE_CHUNK_SIZE;
        p->line_len = 0;
        p->left = 0;
    } else if (length) {
        if (!pbr_parse_u64(pbr_span_str(length), 0, INT64_MAX, &p->left))
            return malformed(diag, "content-length");
        if (p->left > 0)
            p->state = STATE_BODY;
    }
    return PBR_OK;
}

/* Control characters other than tabs and line ends, a CR without its LF among them: others might see two headers where
 * one was meant. */
static bool has_control(struct pbr_span head)
{
    for (size_t i = 0; i < head.len; i++) {
        const uint8_t c = head.ptr[i];
        const bool line_end = c == '\n' || (c == '\r' && i + 1 < head.len && head.ptr[i + 1] == '\n');
        if ((c < ' ' && c != '\t' && !line_end) || c == 0x7f)
            return true;
    }
    return false;
}

static int parse_head(struct pbr_http1 *p, struct pbr_diag *diag)
{
    size_t at = 0;

    if (has_control(pbr_buf_span(&p->head)))
        return malformed(diag, "control character in the head");
    p->header_nr = 0;
    int rc = parse_request_line(p, cut_line(p, &at), diag);
    while (rc == PBR_OK) {
        char *line = cut_line(p, &at);
        if (*line == '\0')
            break;
        rc = parse_header_line(p, line, diag);
    }
    return rc < 0 ? rc : start_body(p, diag);
}

/* True if the head ends with an empty line. */
static bool head_complete(const struct pbr_buf *b)
{
    return (b->len >= 4 && memcmp(b->ptr + b->len - 4, "\r\n\r\n", 4) == 0) ||
           (b->len >= 2 && memcmp(b->ptr + b->len - 2, "\n\n", 2) == 0) ||
           (b->len >= 3 && memcmp(b->ptr + b->len - 3, "\n\r\n", 3) == 0);
}

/* Takes input up to and including the next line end, as often as needed. */
static int step_head(struct pbr_http1 *p, struct pbr_span *in, struct pbr_diag *diag)
{
    while (in->len > 0) {
        if (p->head.len == 0 &&
            (in->ptr[0] == '\r' || in->ptr[0] == '\n')) { /* stray line ends between requests */
            *in = pbr_span_sub(*in, 1, in->len);
            continue;
        }
        const uint8_t *end = memchr(in->ptr, '\n', in->len);
        const struct pbr_span line =
            pbr_span_sub(*in, 0, end ? (size_t)(end - in->ptr) + 1 : in->len);
        *in = pbr_span_sub(*in, line.len, in->len);
        int rc = pbr_buf_append(&p->head, line);
        if (rc == PBR_E_LIMIT) {
            rc = pbr_fail_at(diag, PBR_E_LIMIT, NULL, "request head too large");
            if (diag)
                diag->status = 431;
        }
        if (rc < 0)
            return rc;
        if (!end || !head_complete(&p->head))
            continue;
        rc = parse_head(p, diag);
        return rc < 0 ? rc : PBR_HTTP1_HEAD;
    }
    return PBR_HTTP1_MORE;
}

/* ---- body ---- */

static int take_body(struct pbr_http1 *p, struct pbr_span *in, struct pbr_span *ret_body, int then)
{
    const size_t n = in->len < p->left ? in->len : (size_t)p->left;

    if (n == 0)
        return PBR_HTTP1_MORE;
    *ret_body = pbr_span_sub(*in, 0, n);
    *in = pbr_span_sub(*in, n, in->len);
    p->left -= n;
    if (p->left == 0)
        p->state = then;
    return PBR_HTTP1_BODY;
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum { IN_EXTENSION = LINE_MAX_LEN / 2 }; /* line_len from here on: behind the digits */

static int chunk_size_byte(struct pbr_http1 *p, uint8_t c, struct pbr_diag *diag)
{
    const int v = hex_value(c);

    if (c == '\n') {
        if (p->line_len == 0)
            return malformed(diag, "chunk size");
        p->state = p->left > 0 ? STATE_CHUNK_DATA : STATE_TRAILER;
        p->line_len = 0;
        return PBR_OK;
    }
    if (p->line_len < 16 && v >= 0 && p->left < UINT64_C(1) << 58) {
        p->left = p->left << 4 | (uint64_t)v;
        p->line_len++;
        return PBR_OK;
    }
    if (p->line_len == 0 ||
        (p->line_len < IN_EXTENSION && c != ';' && c != ' ' && c != '\t' && c != '\r'))
        return malformed(diag, "chunk size");
    p->line_len = p->line_len < IN_EXTENSION ? IN_EXTENSION : p->line_len + 1;
    return p->line_len < LINE_MAX_LEN ? PBR_OK : malformed(diag, "chunk extension");
}

static int chunk_end_byte(struct pbr_http1 *p, uint8_t c, struct pbr_diag *diag)
{
    if (c == '\r' && p->line_len == 0) {
        p->line_len = 1;
        return PBR_OK;
    }
    if (c != '\n')
        return malformed(diag, "chunk end");
    p->state = STATE_CHUNK_SIZE;
    p->line_len = 0;
    p->left = 0;
    return PBR_OK;
}

static int trailer_byte(struct pbr_http1 *p, uint8_t c, struct pbr_diag *diag)
{
    if (c == '\n') {
        if (p->line_len == 0)
            p->state = STATE_END;
        p->line_len = 0;
    } else if (c != '\r' && ++p->line_len > LINE_MAX_LEN) {
        return malformed(diag, "trailer");
    }
    return PBR_OK;
}

static int step_chunked(struct pbr_http1 *p, struct pbr_span *in, struct pbr_span *ret_body,
                        struct pbr_diag *diag)
{
    while (p->state != STATE_END) {
        if (p->state == STATE_CHUNK_DATA)
            return take_body(p, in, ret_body, STATE_CHUNK_END);
        if (in->len == 0)
            return PBR_HTTP1_MORE;
        const uint8_t c = in->ptr[0];
        *in = pbr_span_sub(*in, 1, in->len);
        int rc;
        if (p->state == STATE_CHUNK_SIZE)
            rc = chunk_size_byte(p, c, diag);
        else if (p->state == STATE_CHUNK_END)
            rc = chunk_end_byte(p, c, diag);
        else
            rc = trailer_byte(p, c, diag);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int end_request(struct pbr_http1 *p)
{
    pbr_buf_clear(&p->head);
    p->state = STATE_HEAD;
    return PBR_HTTP1_END;
}

int pbr_http1_step(struct pbr_http1 *p, struct pbr_span *in, struct pbr_span *ret_body,
                   struct pbr_diag *diag)
{
    int rc;

    switch (p->state) {
    case STATE_HEAD:
        return step_head(p, in, diag);
    case STATE_BODY:
        return take_body(p, in, ret_body, STATE_END);
    case STATE_END:
        return end_request(p);
    default:
        rc = step_chunked(p, in, ret_body, diag);
        return rc != 0 ? rc : end_request(p);
    }
}

/* ---- answers ---- */

const char *pbr_http1_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = { { 100, "Continue" },
                    { 101, "Switching Protocols" },
                    { 200, "OK" },
                    { 301, "Moved Permanently" },
                    { 308, "Permanent Redirect" },
                    { 400, "Bad Request" },
                    { 401, "Unauthorized" },
                    { 403, "Forbidden" },
                    { 404, "Not Found" },
                    { 408, "Request Timeout" },
                    { 413, "Payload Too Large" },
                    { 414, "URI Too Long" },
                    { 429, "Too Many Requests" },
                    { 431, "Request Header Fields Too Large" },
                    { 500, "Internal Server Error" },
                    { 502, "Bad Gateway" },
                    { 503, "Service Unavailable" } };

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "";
}

void pbr_http_date(int64_t time_s, char out[30])
{
    static const char days[7][4] = {
        "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"
    }; /* day 0 was a Thursday */
    static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    if (time_s < 0 || time_s > INT64_C(253402300799))
        time_s = 0;
    const int64_t day = time_s / 86400, second = time_s % 86400;

    /* Civil date of a day number, years that begin in March. */
    const int64_t z = day + 719468;
    const int64_t era = z / 146097, doe = z % 146097;
    const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    const int64_t mp = (5 * doy + 2) / 153;
    const int64_t month = mp < 10 ? mp + 2 : mp - 10; /* 0 = January */
    const int64_t year = yoe + era * 400 + (month < 2);

    (void)snprintf(out, 30, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days[day % 7],
                   (unsigned)(doy - (153 * mp + 2) / 5 + 1) % 100u, months[month],
                   (unsigned)year % 10000u, (unsigned)(second / 3600) % 100u,
                   (unsigned)(second / 60 % 60) % 100u, (unsigned)(second % 60) % 100u);
}

int pbr_http1_emit(const struct pbr_http1_answer *a, struct pbr_buf *out)
{
    char date[30];
    int rc = pbr_buf_printf(out, "HTTP/1.1 %d %s\r\n", a->status, pbr_http1_reason(a->status));

    if (rc == PBR_OK && a->content_type)
        rc = pbr_buf_printf(out, "content-type: %s\r\n", a->content_type);
    if (rc == PBR_OK && a->extra)
        rc = pbr_buf_append(out, pbr_span_str(a->extra));
    if (rc == PBR_OK && a->has_length)
        rc = pbr_buf_printf(out, "content-length: %" PRIu64 "\r\n", a->length);
    if (rc == PBR_OK && a->close)
        rc = pbr_buf_append(out, pbr_span_str("connection: close\r\n"));
    if (rc < 0)
        return rc;
    pbr_http_date(a->date_s, date);
    return pbr_buf_printf(out, "date: %s\r\n\r\n", date);
}
