/* SPDX-License-Identifier: MIT */
/* Archive encoder: calls in archive order become bytes in one sink (v1) or two (v2), byte for byte as spec/ section 12
 * of pxar-format.md says. It keeps the positions and, for the directories that are open, one goodbye record per child
 * (24 bytes); nothing else grows.
 *
 * Two drafts that were never released come out of the same calls: a payload sink attached to a version 1 archive
 * [SPL-020 .. SPL-037], and version 1 with an appendix of earlier chunks [APX-025 .. APX-044].
 *
 * Order of calls: new; root; then per child file | file_ref | symlink | device | special | hardlink | dir_enter ...
 * dir_leave; with an appendix: appendix, advance; finish. After any failure only free is allowed.
 * Thread: not shared. */
#ifndef PBR_FORMAT_PXAR_ENC_H
#define PBR_FORMAT_PXAR_ENC_H

#include "base/io.h"
#include "format/pxar.h"

struct pbr_pxar_enc;

/* `payload` NULL: version 1. `prelude` NULL: no PRELUDE item (with version 1 it must be NULL: PXAR-200). The sinks are
 * borrowed. Writes payload start marker, FORMAT_VERSION, PRELUDE, root ENTRY and attributes. */
PBR_MUST_USE int pbr_pxar_enc_new(const struct pbr_env *env, struct pbr_sink *archive, struct pbr_sink *payload,
                                  const struct pbr_span *prelude, const struct pbr_pxar_meta *root,
                                  struct pbr_pxar_enc **ret, struct pbr_diag *diag);
void pbr_pxar_enc_free(struct pbr_pxar_enc *enc);

/* Contents of files go to `payload` from here on, without markers and version [SPL-030 .. SPL-033]; writes nothing. STATE
 * with SPL-032 if there is a payload sink, or a file was written. */
PBR_MUST_USE int pbr_pxar_enc_attach(struct pbr_pxar_enc *enc, struct pbr_sink *payload, struct pbr_diag *diag);

/* Regular file with new content: everything up to the first content byte. Then exactly `size` bytes through
 * file_write or file_reserve/commit, then file_end. *ret_pos (may be NULL): position of the FILENAME header, for
 * hard links to it. */
PBR_MUST_USE int pbr_pxar_enc_file(struct pbr_pxar_enc *enc, struct pbr_span name, const struct pbr_pxar_meta *meta,
                                   uint64_t size, uint64_t *ret_pos, struct pbr_diag *diag);
PBR_MUST_USE int pbr_pxar_enc_file_write(struct pbr_pxar_enc *enc, struct pbr_span in, struct pbr_diag *diag);
/* Room inside the sink for 1..want content bytes; falls back to an own buffer where the sink has no reserve. */
PBR_MUST_USE int pbr_pxar_enc_file_reserve(struct pbr_pxar_enc *enc, size_t want, uint8_t **ret, size_t *ret_len,
                                           struct pbr_diag *diag);
PBR_MUST_USE int pbr_pxar_enc_file_commit(struct pbr_pxar_enc *enc, size_t n, struct pbr_diag *diag);
/* PBR_E_STATE with rule PXAR-206 if fewer bytes than announced were written. */
PBR_MUST_USE int pbr_pxar_enc_file_end(struct pbr_pxar_enc *enc, struct pbr_diag *diag);

/* Regular file whose payload lies at `payload_off` of the payload stream already (PXAR-204): must be >= the current
 * payload position and strictly greater than the last reference (rule PXAR-139). Version 2 only. */
PBR_MUST_USE int pbr_pxar_enc_file_ref(struct pbr_pxar_enc *enc, struct pbr_span name,
                                       const struct pbr_pxar_meta *meta, uint64_t payload_off, uint64_t size,
                                       uint64_t *ret_pos, struct pbr_diag *diag);

PBR_MUST_USE int pbr_pxar_enc_symlink(struct pbr_pxar_enc *enc, struct pbr_span name,
                                      const struct pbr_pxar_meta *meta, struct pbr_span target,
                                      struct pbr_diag *diag);
PBR_MUST_USE int pbr_pxar_enc_device(struct pbr_pxar_enc *enc, struct pbr_span name,
                                     const struct pbr_pxar_meta *meta, uint64_t major, uint64_t minor,
                                     struct pbr_diag *diag);
/* FIFO or socket, told by mode. */
PBR_MUST_USE int pbr_pxar_enc_special(struct pbr_pxar_enc *enc, struct pbr_span name,
                                      const struct pbr_pxar_meta *meta, struct pbr_diag *diag);
/* `target_path` relative to the archive root without leading slash (PXAR-075), `target_pos` from ret_pos above. */
PBR_MUST_USE int pbr_pxar_enc_hardlink(struct pbr_pxar_enc *enc, struct pbr_span name, struct pbr_span target_path,
                                       uint64_t target_pos, struct pbr_diag *diag);
PBR_MUST_USE int pbr_pxar_enc_dir_enter(struct pbr_pxar_enc *enc, struct pbr_span name,
                                        const struct pbr_pxar_meta *meta, struct pbr_diag *diag);
PBR_MUST_USE int pbr_pxar_enc_dir_leave(struct pbr_pxar_enc *enc, struct pbr_diag *diag);

/* Root GOODBYE, with APPENDIX_TAIL if there is an appendix [APX-043], then the payload tail marker (PXAR-208). STATE
 * with APX-042 if the appendix is not complete. */
PBR_MUST_USE int pbr_pxar_enc_finish(struct pbr_pxar_enc *enc, struct pbr_diag *diag);

/* ---- appendix, version 1 only [APX] ---- */

/* Regular file whose old encoding stands at `appendix_off` of the appendix [APX-040]. */
PBR_MUST_USE int pbr_pxar_enc_appendix_ref(struct pbr_pxar_enc *enc, struct pbr_span name, uint64_t appendix_off,
                                           uint64_t size, uint64_t *ret_pos, struct pbr_diag *diag);
/* After all children of the root; *ret_start: archive position of the first appendix byte [APX-041]. Then `total` bytes
 * are put behind the encoder's back, and nothing but advance and finish follows. */
PBR_MUST_USE int pbr_pxar_enc_appendix(struct pbr_pxar_enc *enc, uint64_t total, uint64_t *ret_start,
                                       struct pbr_diag *diag);
/* n of these bytes are there [APX-042]. */
PBR_MUST_USE int pbr_pxar_enc_advance(struct pbr_pxar_enc *enc, uint64_t n, struct pbr_diag *diag);

/* Current positions. payload_pos is 0 for version 1. */
uint64_t pbr_pxar_enc_pos(const struct pbr_pxar_enc *enc);
uint64_t pbr_pxar_enc_payload_pos(const struct pbr_pxar_enc *enc);
/* Chunks were injected behind the encoder's back: the payload position moves on by n (PXAR-205). */
PBR_MUST_USE int pbr_pxar_enc_payload_advance(struct pbr_pxar_enc *enc, uint64_t n, struct pbr_diag *diag);

#endif
