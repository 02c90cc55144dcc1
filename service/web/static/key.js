// The API key, where the service needs one: asked for when a request is answered with 401, kept for this tab alone.

const NAME = "echocast-key";
const byId = (id) => document.getElementById(id);
let asking = null;

export const key = () => sessionStorage.getItem(NAME);

// Resolves when the user has entered a key; all requests that wait share one form.
export function askForKey(problem) {
  asking ??= new Promise((resolve) => {
    byId("key-problem").textContent = key() ? problem.detail : "";
    byId("key-card").hidden = false;
    byId("key").focus();
    byId("key-form").onsubmit = (event) => {
      event.preventDefault();
      const entered = byId("key").value.trim();
      if (!entered) return;
      sessionStorage.setItem(NAME, entered);
      byId("key").value = "";
      byId("key-card").hidden = true;
      showForget();
      asking = null;
      resolve();
    };
  });
  return asking;
}

function showForget() {
  byId("forget-key").hidden = !key();
  byId("forget-key").onclick = () => {
    sessionStorage.removeItem(NAME);
    location.reload();
  };
}

if (byId("forget-key")) showForget(); // not on the page of the API, which is public
