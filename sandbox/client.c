/* trigger, clock, fault: calls to a sandbox that runs. */
#include "sandbox.h"
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int call(const char *path, json_t *body)
{
    char url[200];
    long status = 0;
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    CURL *curl = curl_easy_init();
    snprintf(url, sizeof url, "http://127.0.0.1:%d/_sandbox/%s", sb_config.port, path);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 60L);
    if (text)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text);
    CURLcode e = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    free(text);
    json_decref(body);
    if (e != CURLE_OK)
        fprintf(stderr,
                "mybeing-sandbox: no sandbox on port %d (%s); start one, or name its --port\n",
                sb_config.port, curl_easy_strerror(e));
    else
        putchar('\n');
    return e == CURLE_OK && status == 200 ? 0 : 1;
}

int sb_client(int argc, char **argv)
{
    char words[200] = "";
    if (!strcmp(argv[0], "trigger") && argc == 2)
        return call("trigger", json_pack("{s:s}", "event", argv[1]));
    if (!strcmp(argv[0], "clock") && (argc == 1 || !strcmp(argv[1], "show")))
        return call("clock", NULL);
    if (!strcmp(argv[0], "clock")) {
        for (int i = 1; i < argc; i++)
            snprintf(words + strlen(words), sizeof words - strlen(words), "%s%s", i > 1 ? " " : "",
                     argv[i]);
        return call("clock", json_pack("{s:s}", "advance", words));
    }
    if (!strcmp(argv[0], "fault") && (argc == 2 || argc == 3))
        return call("fault", json_pack("{s:s, s:i}", "kind", argv[1], "count",
                                       argc == 3 ? atoi(argv[2]) : 1));
    fprintf(stderr,
            "mybeing-sandbox: '%s' is not understood: trigger EVENT, clock [+1 month], fault KIND "
            "[COUNT]\n",
            argv[0]);
    return 2;
}
