// Addresses of the service, as the page asks for them.

// A proxy may serve the service below a path: links are taken as relative to the page.
export const relative = (href) => href.replace(/^\//, "");
