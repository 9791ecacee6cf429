import './index.css';
import './chart_tools.css';
import './plot.css';
