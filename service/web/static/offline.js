// The page without a connection, which the service worker shows in place of any other: it tries again.

import "./messages.js";

document.getElementById("again").addEventListener("click", () => location.reload());
window.addEventListener("online", () => location.reload());
