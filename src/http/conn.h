/* Inside src/http: what conn.c and server.c, which alone know libmicrohttpd, share of it. */
#pragma once
#include <microhttpd.h>

/* MHD_OPTION: the daemon's handler of requests; cls is the struct http_server. */
enum MHD_Result conn_on_request(void *cls, struct MHD_Connection *mc, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *ndata, void **con);
/* MHD_OPTION_NOTIFY_COMPLETED */
void conn_on_completed(void *cls, struct MHD_Connection *mc, void **con,
                       enum MHD_RequestTerminationCode why);
