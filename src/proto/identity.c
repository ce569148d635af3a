/* SPDX-License-Identifier: MIT */
/* User and token ids, tickets, credentials; see identity.h. */
#include "proto/identity.h"

#include <string.h>

#include "format/name.h"
#include "proto/form.h"

/* Index of the last `what`, or in.len. */
static size_t find_last(struct pbr_span in, uint8_t what)
{
    for (size_t i = in.len; i > 0; i--)
        if (in.ptr[i - 1] == what)
            return i - 1;
    return in.len;
}

static size_t find_first(struct pbr_span in, uint8_t what)
{
    size_t i = 0;
    while (i < in.len && in.ptr[i] != what)
        i++;
    return i;
}

static bool user_name_ok(struct pbr_span name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] <= ' ' || name.ptr[i] == 0x7f || name.ptr[i] == ':' || name.ptr[i] == '/')
            return false;
    return name.len > 0;
}

bool pbr_userid_ok(struct pbr_span id)
{
    const size_t at = find_last(id, '@');
    const struct pbr_span realm = pbr_span_sub(id, at + 1, id.len);

    return id.len >= 3 && id.len <= 64 && at < id.len && user_name_ok(pbr_span_sub(id, 0, at)) &&
           realm.len >= 2 && realm.len <= 32 && pbr_name_is_safe_id(realm);
}

struct pbr_span pbr_authid_user(struct pbr_span id, bool *ret_is_token)
{
    const size_t bang = find_last(id, '!'), at = find_last(id, '@');
    const bool is_token = bang < id.len && at < id.len && bang > at;

    if (ret_is_token)
        *ret_is_token = is_token;
    return is_token ? pbr_span_sub(id, 0, bang) : id;
}

bool pbr_authid_ok(struct pbr_span id)
{
    bool is_token;
    const struct pbr_span user = pbr_authid_user(id, &is_token);

    return pbr_userid_ok(user) &&
           (!is_token || (id.len <= PBR_AUTHID_MAX &&
                          pbr_name_is_safe_id(pbr_span_sub(id, user.len + 1, id.len))));
}

bool pbr_owner_ok(struct pbr_span auth_id, struct pbr_span owner)
{
    bool owner_is_token;
    const struct pbr_span owner_user = pbr_authid_user(owner, &owner_is_token);

    return pbr_span_eq(auth_id, owner) || (owner_is_token && pbr_span_eq(auth_id, owner_user));
}

int pbr_ticket_emit(struct pbr_span user, int64_t time_s, struct pbr_span seal, struct pbr_buf *out)
{
    int rc = pbr_buf_append(out, pbr_span_str("PBS:"));
    if (rc == PBR_OK)
        rc = pbr_percent_encode(user, PBR_PERCENT_CREDENTIAL, out);
    if (rc == PBR_OK)
        rc = pbr_buf_printf(out, ":%08" PRIX64 "::", (uint64_t)time_s);
    if (rc == PBR_OK)
        rc = pbr_buf_append(out, seal);
    return rc;
}

static bool parse_hex_time(struct pbr_span in, int64_t *ret)
{
    uint64_t v = 0;

    if (in.len < 8 || in.len > 15)
        return false;
    for (size_t i = 0; i < in.len; i++) {
        const uint8_t c = in.ptr[i];
        if (c >= '0' && c <= '9')
            v = v << 4 | (uint64_t)(c - '0');
        else if (c >= 'A' && c <= 'F')
            v = v << 4 | (uint64_t)(c - 'A' + 10);
        else
            return false;
    }
    *ret = (int64_t)v;
    return true;
}

bool pbr_ticket_parse(struct pbr_span text, struct pbr_span *ret_user, int64_t *ret_time_s)
{
    if (!pbr_span_starts(text, "PBS:"))
        return false;
    text = pbr_span_sub(text, 4, text.len);
    const struct pbr_span user = pbr_span_sub(text, 0, find_first(text, ':'));
    const struct pbr_span rest = pbr_span_sub(text, user.len + 1, text.len);
    const struct pbr_span time = pbr_span_sub(rest, 0, find_first(rest, ':'));
    int64_t time_s;

    if (user.len == 0 || !pbr_span_starts(pbr_span_sub(rest, time.len, rest.len), "::") ||
        !parse_hex_time(time, &time_s))
        return false;
    *ret_user = user;
    *ret_time_s = time_s;
    return true;
}

bool pbr_ticket_fresh(int64_t time_s, int64_t now_s)
{
    return time_s <= now_s + PBR_TICKET_SKEW_S && now_s - time_s < PBR_TICKET_LIFETIME_S;
}

bool pbr_token_header_parse(struct pbr_span value, struct pbr_span *ret_id,
                            struct pbr_span *ret_secret)
{
    static const char word[] = "PBSAPIToken";

    if (!pbr_span_starts(value, word) || value.len < sizeof(word) ||
        (value.ptr[sizeof(word) - 1] != ' ' && value.ptr[sizeof(word) - 1] != '='))
        return false;
    value = pbr_span_sub(value, sizeof(word), value.len);
    const size_t colon = find_first(value, ':');
    if (colon == value.len)
        return false;
    *ret_id = pbr_span_sub(value, 0, colon);
    *ret_secret = pbr_span_sub(value, colon + 1, value.len);
    return true;
}

bool pbr_cookie_find(struct pbr_span header, const char *name, struct pbr_span *ret)
{
    while (header.len > 0) {
        struct pbr_span item = pbr_span_sub(header, 0, find_first(header, ';'));
        header = pbr_span_sub(header, item.len + 1, header.len);
        while (item.len > 0 && item.ptr[0] == ' ')
            item = pbr_span_sub(item, 1, item.len);
        const size_t eq = find_first(item, '=');
        if (eq == item.len || !pbr_span_eq_str(pbr_span_sub(item, 0, eq), name))
            continue;
        *ret = pbr_span_sub(item, eq + 1, item.len);
        return true;
    }
    return false;
}
