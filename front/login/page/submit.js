"use strict";
// An answer that a program asked to be sent as a form (response_mode=form_post).
document.forms[0].submit();
