/* Tokens of the operator's identity provider. SPEC §5. */
#include "account/account_inner.h"

err account_by_jwt(struct req *r, struct db_tx *tx, sv token)
{
    (void)tx;
    (void)token;
    if (r->route->auth == AUTH_MEMBER || r->route->auth == AUTH_ADMIN)
        return FAIL(ERR_UNAUTHENTICATED, "The token is not valid");
    return OK;
}
