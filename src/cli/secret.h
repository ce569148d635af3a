/* SPDX-License-Identifier: MIT */
/* Passwords and passphrases: from the environment, from a credential, or typed on the terminal [API-040 .. API-042, API-080,
 * CRY-060 .. CRY-065].
 *
 *   NAME          the value                          NAME_FILE   path of a file
 *   NAME_FD       number of an open descriptor       NAME_CMD    command line, run without a shell
 *   $CREDENTIALS_DIRECTORY/CREDENTIAL                taken whole
 *
 * The first that is set counts, even if it is empty; of the first four only the first line.
 * Thread: main thread only. */
#ifndef PBR_CLI_SECRET_H
#define PBR_CLI_SECRET_H

#include "cli/cli.h"

enum { PBR_SECRET_MAX = 64 << 10 }; /* bytes of any source, key files too */

/* A secret or other value by base name. *ret stays empty (ptr NULL) if none is defined. A descriptor is read to its end and
 * closed. ARG or IO, with the variable's name, if the source cannot be used. */
PBR_MUST_USE int pbr_secret_from_env(struct pbr_cli *cli, const char *base, const char *credential,
                                     struct pbr_secret *ret, struct pbr_diag *diag);

/* Whether somebody can be asked: standard input is a terminal. */
bool pbr_can_ask(void);
/* Asks on the terminal of standard input, without echo; the question goes to standard error. Echo comes back whatever ends
 * the question, signals included: these take effect afterwards (CRY-064). CANCELED at the end of input. */
PBR_MUST_USE int pbr_ask_secret(struct pbr_cli *cli, const char *question, struct pbr_secret *ret, struct pbr_diag *diag);
/* A new passphrase for a key, read twice (CRY-065). STATE if both differ or it is too short (CRY-034), or if there is no terminal. */
PBR_MUST_USE int pbr_ask_new_passphrase(struct pbr_cli *cli, struct pbr_secret *ret, struct pbr_diag *diag);

#endif
