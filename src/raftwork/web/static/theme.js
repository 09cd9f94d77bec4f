// Before anything is painted: the theme that was chosen here.
try {
  const chosen = localStorage.getItem("raftwork-theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch { /* storage is switched off: the system's theme it is */ }
