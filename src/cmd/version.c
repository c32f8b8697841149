#include "cmd/cmd.h"
#include "http/curl.h"

#include <curl/curl.h>
#include <microhttpd.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <stdio.h>

/* mybeing version [--json] */
int cmd_version(int argc, char **argv)
{
    bool as_json = cmd_flag(&argc, argv, "--json");
    if (cmd_has_more(argc, argv, 0))
        return EXIT_USAGE;
    const char *curl = curl_load() == OK ? curl_version_info(CURLVERSION_NOW)->version : "missing";
    if (as_json)
        printf("{\"version\":\"%s\",\"sqlite\":\"%s\",\"libmicrohttpd\":\"%s\",\"curl\":\"%s\","
               "\"openssl\":\"%s\"}\n",
               MYBEING_VERSION, sqlite3_libversion(), MHD_get_version(), curl,
               OpenSSL_version(OPENSSL_VERSION_STRING));
    else
        printf("mybeing %s (SQLite %s, libmicrohttpd %s, curl %s, OpenSSL %s)\n", MYBEING_VERSION,
               sqlite3_libversion(), MHD_get_version(), curl,
               OpenSSL_version(OPENSSL_VERSION_STRING));
    return EXIT_OK;
}
