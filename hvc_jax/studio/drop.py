"""Files that are dropped on the page: handed to its upload button, which has the checks."""

import html

UPLOAD = "Upload a stream or video"
"""What the button says, before the most that it takes."""

_TAB = "Open"

# viser knows no dropped files. A picture that cannot be loaded runs this once, when the page is
# built; scripts in its HTML do not run.
_SCRIPT = f"""
if (!window.hvcDrop) {{
  window.hvcDrop = true;
  const text = (kind, words) =>
    [...document.querySelectorAll(kind)].find(part => part.textContent.startsWith(words));
  addEventListener('dragover', event => event.preventDefault());
  addEventListener('drop', event => {{
    const file = event.dataTransfer.files[0];
    if (!file) return;
    event.preventDefault();
    text('[role=tab]', '{_TAB}')?.click();
    setTimeout(() => {{
      const input = text('button', '{UPLOAD}')?.parentElement.querySelector('input[type=file]');
      if (!input) return;
      const files = new DataTransfer();
      files.items.add(file);
      input.files = files.files;
      input.dispatchEvent(new Event('change', {{ bubbles: true }}));
    }}, 200);
  }});
}}
"""

DROP = f'<img src="data:," alt="" style="display:none" onerror="{html.escape(_SCRIPT)}">'
"""HTML that lets a page take them."""
